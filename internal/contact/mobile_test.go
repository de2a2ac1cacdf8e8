package contact

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"
)

// Whatever the short cut takes for a mobile number, the library takes for a valid one: every country's example, and numbers
// that differ from it in their digits and in their length.
func TestTheShortCutAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for code := range mobilePlans() {
		region := phonenumbers.GetRegionCodeForCountryCode(code)
		example := phonenumbers.GetExampleNumberForType(region, phonenumbers.MOBILE)
		if example == nil {
			continue
		}
		national := phonenumbers.GetNationalSignificantNumber(example)
		for range 200 {
			digits := []byte(national)
			for range random.IntN(4) {
				digits[random.IntN(len(digits))] = byte('0' + random.IntN(10))
			}
			if random.IntN(8) == 0 {
				digits = digits[:len(digits)-1]
			}
			if digits[0] == '0' || !isMobile(code, string(digits)) {
				continue
			}
			taken++
			text := fmt.Sprintf("+%d%s", code, digits)
			number, err := phonenumbers.Parse(text, "")
			require.NoError(t, err, text)
			require.True(t, phonenumbers.IsValidNumber(number), text)
			require.Equal(t, text, phonenumbers.Format(number, phonenumbers.E164))
		}
	}
	require.Greater(t, taken, 10_000)
	require.False(t, isMobile(86, "2012345678"), "a landline")
	require.False(t, isMobile(1, "2015550123"), "many countries share +1")
	require.False(t, isMobile(999, "1"))
}

func BenchmarkParsePhone(b *testing.B) {
	for _, number := range []string{"+8613800138000", "+862012345678"} {
		b.Run(number, func(b *testing.B) {
			for b.Loop() {
				if _, err := ParsePhone(number, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
