package docs

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// pkgsite is where the documentation of the packages is. What is behind it names a package
// of this repository, and behind a "#" one of its identifiers.
const pkgsite = "https://pkg.go.dev/github.com/gin-lifecycle/lifecycle"

// Every link leads somewhere. Other sites are not asked.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, l := range d.links {
			if err := checkLink(d, l.text); err != nil {
				t.Errorf("%s:%d: the link %s: %v", d.path, l.line, l.text, err)
			}
		}
	}
}

func TestBrokenLinks(t *testing.T) {
	t.Parallel()
	for link, good := range map[string]bool{
		"guide.md":                    true,
		"guide.md#hooks":              true,
		"../README.md#install":        true,
		"../LICENSE":                  true,
		"../faults":                   true,
		"#here":                       true,
		"https://redis.io/docs#x":     true,
		"mailto:ann@example.com":      true,
		pkgsite:                       true,
		pkgsite + "#NewStore":         true,
		pkgsite + "#Manager.Get":      true,
		pkgsite + "#Session.ID":       true,
		pkgsite + "#ErrSessionEnded":  true,
		pkgsite + "/embedded#Start":   true,
		"missing.md":                  false,
		"guide.md#missing":            false,
		"../LICENSE#licence":          false,
		"#missing":                    false,
		"README.md":                   false, // it is not in docs
		"../../elsewhere.md":          false,
		"/README.md":                  false,
		"http://":                     false,
		"https://exa mple.com":        false,
		"ftp://example.com":           false,
		pkgsite + "#Missing":          false,
		pkgsite + "#Manager.start":    false,
		pkgsite + "#defaults":         false,
		pkgsite + "/missing":          false,
		pkgsite + "/internal/ledger":  false,
		pkgsite + "/embedded#NewBase": false,
	} {
		d := parse("docs/x.md", []byte("# Here\n"))
		if err := checkLink(d, link); (err == nil) != good {
			t.Errorf("the link %s: %v", link, err)
		}
	}
}

// checkLink returns why a link of a document leads nowhere.
func checkLink(d *document, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	if link == pkgsite || strings.HasPrefix(link, pkgsite+"/") || strings.HasPrefix(link, pkgsite+"#") {
		return checkIdentifier(u)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return fmt.Errorf("it names no host")
		}
		return nil
	case "mailto":
		return nil
	case "":
		return checkPath(d, u)
	}
	return fmt.Errorf("a link to another place begins with https")
}

// checkPath checks a link within the repository.
func checkPath(d *document, u *url.URL) error {
	target := d
	if u.Path != "" {
		p := path.Join(path.Dir(d.path), u.Path)
		if path.IsAbs(u.Path) || !filepath.IsLocal(filepath.FromSlash(p)) {
			return fmt.Errorf("it leads out of the repository")
		}
		info, err := os.Stat(filepath.Join(root, filepath.FromSlash(p)))
		if err != nil {
			return fmt.Errorf("there is no file %s", p)
		}
		if u.Fragment == "" {
			return nil
		}
		if info.IsDir() || path.Ext(p) != ".md" {
			return fmt.Errorf("%s has no headings", p)
		}
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
		if err != nil {
			return err
		}
		target = parse(p, source)
	}
	if !target.anchors[u.Fragment] {
		return fmt.Errorf("%s has no heading with the anchor %q", target.path, u.Fragment)
	}
	return nil
}

// checkIdentifier checks a link to the documentation of a package of this repository.
func checkIdentifier(u *url.URL) error {
	dir := strings.TrimPrefix(strings.TrimPrefix(u.Path, "/github.com/gin-lifecycle/lifecycle"), "/")
	if strings.Contains("/"+dir+"/", "/internal/") {
		return fmt.Errorf("nobody can import that package")
	}
	names, err := exported(dir)
	if err != nil {
		return err
	}
	if u.Fragment != "" && !names[u.Fragment] {
		return fmt.Errorf("the package has no %s", u.Fragment)
	}
	return nil
}
