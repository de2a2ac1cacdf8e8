package sms

import "unicode/utf16"

// Encoding is how a text travels.
type Encoding string

// The encodings of GSM 03.38 that a text may need.
const (
	GSM7 Encoding = "GSM-7" // 160 septets alone, 153 in each part of several
	UCS2 Encoding = "UCS-2" // 70 UTF-16 units alone, 67 in each part of several
)

const (
	gsm7Alone, gsm7Part = 160, 153
	ucs2Alone, ucs2Part = 70, 67
)

// gsm7Basic is the default alphabet of 3GPP TS 23.038 §6.2.1 without the escape character; each costs one septet.
const gsm7Basic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// gsm7Extension is the extension table of §6.2.1.1; each costs two septets, an escape and the character.
const gsm7Extension = "\f^{}\\[~]|€"

var septets = septetTable()

func septetTable() map[rune]int {
	table := make(map[rune]int, 138)
	for _, r := range gsm7Basic {
		table[r] = 1
	}
	for _, r := range gsm7Extension {
		table[r] = 2
	}
	return table
}

// Segments tells how a text travels and how many messages it is billed as. One character outside the GSM-7 alphabet
// (any of Chinese, "【", a typographic quote) makes the whole text UCS-2. A character is never split: an escaped one or a
// surrogate pair that does not fit moves to the next part whole. An empty text is no message.
func Segments(text string) (Encoding, int) {
	costs := make([]int, 0, len(text))
	for _, r := range text {
		cost, ok := septets[r]
		if !ok {
			return UCS2, parts(utf16Costs(text), ucs2Alone, ucs2Part)
		}
		costs = append(costs, cost)
	}
	return GSM7, parts(costs, gsm7Alone, gsm7Part)
}

func utf16Costs(text string) []int {
	costs := make([]int, 0, len(text))
	for _, r := range text {
		costs = append(costs, utf16.RuneLen(r))
	}
	return costs
}

// parts packs characters in order into parts of a size, unless all of them fit into a message alone.
func parts(costs []int, alone, size int) int {
	n, total, used := 0, 0, size
	for _, cost := range costs {
		total += cost
		if used+cost > size {
			n, used = n+1, 0
		}
		used += cost
	}
	if total <= alone {
		return min(n, 1)
	}
	return n
}
