package httpapi

import (
	"regexp"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2/validation"
)

// validationChinese has huma's messages, which it makes in English when a schema is built. Where huma adds the parser's
// error (which quotes the value) the verb is cut off, in both languages.
var validationChinese = map[string]string{
	validation.MsgUnexpectedProperty:                "未知字段",
	validation.MsgExpectedRFC3339DateTime:           "应为 RFC 3339 日期时间",
	validation.MsgExpectedRFC3339Date:               "应为 RFC 3339 日期",
	validation.MsgExpectedRFC3339Time:               "应为 RFC 3339 时间",
	validation.MsgExpectedRFC5322Email:              "应为电子邮件地址",
	validation.MsgExpectedRFC3986URI:                "应为 URI",
	validation.MsgExpectedRFC4122UUID:               "应为 UUID",
	validation.MsgExpectedBoolean:                   "应为布尔值",
	validation.MsgExpectedNumber:                    "应为数字",
	validation.MsgExpectedInteger:                   "应为整数",
	validation.MsgExpectedString:                    "应为字符串",
	validation.MsgExpectedBase64String:              "应为 Base64 字符串",
	validation.MsgExpectedArray:                     "应为数组",
	validation.MsgExpectedObject:                    "应为对象",
	validation.MsgExpectedArrayItemsUnique:          "数组元素不能重复",
	validation.MsgExpectedOneOf:                     "应为以下之一：%s",
	validation.MsgExpectedMinimumNumber:             "应不小于 %v",
	validation.MsgExpectedExclusiveMinimumNumber:    "应大于 %v",
	validation.MsgExpectedMaximumNumber:             "应不大于 %v",
	validation.MsgExpectedExclusiveMaximumNumber:    "应小于 %v",
	validation.MsgExpectedNumberBeMultipleOf:        "应为 %v 的倍数",
	validation.MsgExpectedMinLength:                 "长度应不小于 %d",
	validation.MsgExpectedMaxLength:                 "长度应不大于 %d",
	validation.MsgExpectedBePattern:                 "格式应为 %s",
	validation.MsgExpectedMatchPattern:              "应匹配 %s",
	validation.MsgExpectedMinItems:                  "元素数量应不少于 %d",
	validation.MsgExpectedMaxItems:                  "元素数量应不多于 %d",
	validation.MsgExpectedMinProperties:             "字段数量应不少于 %d",
	validation.MsgExpectedMaxProperties:             "字段数量应不多于 %d",
	validation.MsgExpectedRequiredProperty:          "缺少必填字段 %s",
	validation.MsgExpectedDependentRequiredProperty: "缺少字段 %s，它须与 %s 一起出现",
	"unknown query parameter":                       "未知的查询参数",
	"invalid integer":                               "应为整数",
	"invalid boolean":                               "应为布尔值",
	"invalid float":                                 "应为数字",
	"required query parameter is missing":           "缺少必填的查询参数",
	"required header parameter is missing":          "缺少必填的请求头",
	"required path parameter is missing":            "缺少路径参数",
}

// quoting are the messages of which huma's verb is the parser's error; it may repeat the value.
var quoting = []string{
	validation.MsgExpectedRFC5322Email, validation.MsgExpectedRFC3986URI, validation.MsgExpectedRFC4122UUID,
	validation.MsgExpectedRegexp, validation.MsgExpectedDuration,
}

type validationPattern struct {
	match   *regexp.Regexp
	chinese string
}

var verb = regexp.MustCompile(`%[a-z]`)

var validationPatterns = sync.OnceValue(func() []validationPattern {
	var patterns []validationPattern
	for english, chinese := range validationChinese {
		if verb.MatchString(english) {
			source := verb.ReplaceAllString(regexp.QuoteMeta(english), `(.*)`)
			patterns = append(patterns, validationPattern{regexp.MustCompile(`^(?s:` + source + `)$`), chinese})
		}
	}
	return patterns
})

// validationText gives huma's message in a language, without anything that repeats the value.
func validationText(lang Language, message string) string {
	for _, format := range quoting {
		head, _, _ := strings.Cut(format, ":")
		if strings.HasPrefix(message, head) {
			if lang == Chinese && validationChinese[format] != "" {
				return validationChinese[format]
			}
			return head
		}
	}
	if lang == English {
		return message
	}
	if chinese, ok := validationChinese[message]; ok {
		return chinese
	}
	for _, p := range validationPatterns() {
		if found := p.match.FindStringSubmatch(message); found != nil {
			text := p.chinese
			for _, value := range found[1:] {
				text = text[:verb.FindStringIndex(text)[0]] + value + text[verb.FindStringIndex(text)[1]:]
			}
			return text
		}
	}
	return message
}
