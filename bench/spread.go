package main

import (
	"fmt"
	"strconv"
)

// slots is how many slots a cluster has.
const slots = 16384

// slotOf returns the slot of a hash tag: CRC-16/XMODEM, as Redis has it.
func slotOf(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}

// spread returns the load of the fullest server: how many buckets it has, divided by the average
// over all masters. Each master has the same number of slots.
func spread(buckets, masters int) float64 {
	on := make([]int, masters)
	for b := range buckets {
		on[slotOf(strconv.Itoa(b))*masters/slots]++
	}
	most := 0
	for _, n := range on {
		most = max(most, n)
	}
	return float64(most) * float64(masters) / float64(buckets)
}

// reportSpread prints the spread for several numbers of buckets and masters.
func (b *bench) reportSpread() {
	masters := []int{3, 6, 12, 24, 48, 96}
	head := []string{"buckets"}
	for _, m := range masters {
		head = append(head, fmt.Sprintf("%d masters", m))
	}
	var rows [][]string
	for _, n := range bucketChoices {
		row := []string{count(n)}
		for _, m := range masters {
			row = append(row, fixed(spread(n, m), 2))
		}
		rows = append(rows, row)
	}
	b.report.table("Load of the fullest server of a cluster with evenly shared slots, in fair shares (computed)", head, rows)
}
