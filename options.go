package lifecycle

import "github.com/gin-lifecycle/lifecycle/internal/testonly"

// Option is an option of NewStore: a StoreOption or a ManagerOption.
type Option interface {
	apply(s *settings) error
}

// settings is what the options of NewStore set.
type settings struct {
	store    storeConfig
	managers managerConfig // what New starts from
	tuning   testonly.Tuning
}

func (s *settings) apply(opts []Option) error {
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o.apply(s); err != nil {
			return err
		}
	}
	return nil
}

func (o StoreOption) apply(s *settings) error {
	if o == nil {
		return nil
	}
	return o(&s.store)
}

func (o ManagerOption) apply(s *settings) error {
	if o == nil {
		return nil
	}
	return o(&s.managers)
}
