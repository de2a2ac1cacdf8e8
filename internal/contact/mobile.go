package contact

import (
	"regexp"
	"slices"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// isMobile recognises the numbers that buyers have, mobile ones of countries with a calling code of their own, by two of the
// library's own patterns. The library asks ten others first, which costs more than everything else that an order does in
// memory. false says nothing: the library decides.
func isMobile(callingCode int, national string) bool {
	plan := mobilePlans()[callingCode]
	return plan != nil && plan.has(national)
}

// mobilePlan is what a country's plan says of its mobile numbers.
type mobilePlan struct {
	general, mobile *phonenumbers.PhoneNumberDesc

	compile             sync.Once
	generalRE, mobileRE *regexp.Regexp
}

func (p *mobilePlan) has(national string) bool {
	lengths := p.mobile.GetPossibleLength()
	if len(lengths) == 0 { // as the country's numbers in general
		lengths = p.general.GetPossibleLength()
	}
	if !slices.Contains(lengths, int32(len(national))) {
		return false
	}
	p.compile.Do(func() { p.mobileRE, p.generalRE = whole(p.mobile), whole(p.general) })
	return p.mobileRE.MatchString(national) && p.generalRE.MatchString(national)
}

func whole(desc *phonenumbers.PhoneNumberDesc) *regexp.Regexp {
	return regexp.MustCompile(`^(?:` + desc.GetNationalNumberPattern() + `)$`)
}

// mobilePlans are those of the calling codes that belong to one country, by code.
var mobilePlans = sync.OnceValue(func() map[int]*mobilePlan {
	plans := map[int]*mobilePlan{}
	collection, err := phonenumbers.MetadataCollection()
	if err != nil {
		return plans // the library decides alone
	}
	for _, territory := range collection.GetMetadata() {
		code := int(territory.GetCountryCode())
		shared := len(phonenumbers.GetRegionCodesForCountryCode(code)) != 1 || territory.GetId() == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
		if shared || territory.GetMobile().GetNationalNumberPattern() == "" {
			continue
		}
		plans[code] = &mobilePlan{general: territory.GetGeneralDesc(), mobile: territory.GetMobile()}
	}
	return plans
})
