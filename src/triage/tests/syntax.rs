//! How matchers are written.

use proptest::{prelude::*, sample::select};

use super::*;

/// What is written, and what it means: name, operator, value.
const SINGLE: [(&str, &str, Op, &str); 24] = [
    (r#"foo="bar""#, "foo", Op::Equal, "bar"),
    ("foo=bar", "foo", Op::Equal, "bar"),
    ("foo!=bar", "foo", Op::NotEqual, "bar"),
    ("foo=~bar.*", "foo", Op::Matches, "bar.*"),
    ("foo!~bar.*", "foo", Op::MatchesNot, "bar.*"),
    (r#"foo="""#, "foo", Op::Equal, ""),
    (r#"foo!="""#, "foo", Op::NotEqual, ""),
    ("  foo \t= \n bar  ", "foo", Op::Equal, "bar"),
    (r#"foo = "  bar  ""#, "foo", Op::Equal, "  bar  "),
    (r#"foo="bar,baz""#, "foo", Op::Equal, "bar,baz"),
    (r#"foo="{bar}""#, "foo", Op::Equal, "{bar}"),
    (r#"foo="a=~b""#, "foo", Op::Equal, "a=~b"),
    (r#"foo="say \"hi\"""#, "foo", Op::Equal, "say \"hi\""),
    (r#"foo="C:\\temp""#, "foo", Op::Equal, "C:\\temp"),
    (r#"foo="one\ntwo""#, "foo", Op::Equal, "one\ntwo"),
    (r#"foo=~"\d+""#, "foo", Op::Matches, r"\d+"),
    (r#"foo=~"\\d+""#, "foo", Op::Matches, r"\d+"),
    (r#"foo=~"(a|b)""#, "foo", Op::Matches, "(a|b)"),
    (r#"foo="🙂""#, "foo", Op::Equal, "🙂"),
    ("foo=🙂", "foo", Op::Equal, "🙂"),
    ("Σyn=Σ", "Σyn", Op::Equal, "Σ"),
    (r#""foo with spaces"="bar""#, "foo with spaces", Op::Equal, "bar"),
    (r#""a\"b"!=c"#, "a\"b", Op::NotEqual, "c"),
    ("foo=a.b-c:d/e*", "foo", Op::Equal, "a.b-c:d/e*"),
];

/// What is no matcher, where it goes wrong, and a word of what is said.
const WRONG: [(&str, usize, &str); 20] = [
    ("", 1, "name"),
    ("foo", 4, "one of ="),
    ("=bar", 1, "name"),
    (r#"""=bar"#, 1, "name"),
    ("foo=", 5, "value"),
    ("foo=\"bar", 5, "never closed"),
    ("foo=bar baz", 9, "after the matcher"),
    ("foo=bar=baz", 8, "after the matcher"),
    ("foo==bar", 5, "value"),
    ("foo!bar", 4, "one of ="),
    ("foo~bar", 4, "double quotes"),
    ("foo='bar'", 5, "double quotes"),
    ("foo=`bar`", 5, "double quotes"),
    (r"foo=~\d+", 6, "double quotes"),
    (r#"foo=a"b""#, 6, "double quotes"),
    ("foo=~\"(\"", 6, "unclosed group"),
    ("foo=~\"a)|(b\"", 6, "unopened group"),
    ("foo!~\"[\"", 6, "unclosed character class"),
    ("föö=~\"*\"", 6, "missing expression"),
    ("foo=~\"(\\\\w{200}){200}\"", 6, "too large"),
];

#[test]
fn one_matcher_is_read() {
    for (text, name, op, value) in SINGLE {
        let found = matcher(text);
        assert_eq!((found.name(), found.op(), found.value()), (name, op, value), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, at, what) in WRONG {
        let error = text.parse::<Matcher>().expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.what.contains(what), "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("character {at}: ")), "{error}");
    }
}

#[test]
fn what_is_said_is_for_people() {
    for (text, words) in [
        ("{a=}", "character 4: expected a value (\"\" is the empty one)"),
        ("{a=,b=c}", "character 4: expected a value (\"\" is the empty one)"),
        (
            "a='b'",
            "character 3: expected a value (\"\" is the empty one), not '\\''; put double quotes around it if it is meant",
        ),
        ("a=b'c'", "character 4: '\\'' needs double quotes around the whole word"),
        ("a=~\"(\"", "character 4: not a regular expression: unclosed group"),
        ("a=b c=d", "character 5: expected a comma, not 'c'"),
    ] {
        assert_eq!(parse_matchers(text).expect_err(text).to_string(), words);
    }
}

#[test]
fn a_list_is_read_with_braces_or_without() {
    let written = |text| parse_matchers(text).map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
    for (text, expected) in [
        ("", vec![]),
        ("{}", vec![]),
        (" { } ", vec![]),
        (r#"{a="b"}"#, vec![r#"a="b""#]),
        (r#"{a="b", c=~"d.*"}"#, vec![r#"a="b""#, r#"c=~"d.*""#]),
        (r#"a="b",c!=d"#, vec![r#"a="b""#, r#"c!="d""#]),
        ("{a=b,}", vec![r#"a="b""#]),
        ("a=b,", vec![r#"a="b""#]),
        (r#"{a="}", b=","}"#, vec![r#"a="}""#, r#"b=",""#]),
        ("{a=b,a=c}", vec![r#"a="b""#, r#"a="c""#]),
    ] {
        assert_eq!(written(text), Ok(expected.into_iter().map(str::to_owned).collect()), "{text}");
    }
    for (text, at, what) in [
        ("{a=b", 5, "closing brace"),
        ("{", 2, "closing brace"),
        ("a=b}", 4, "without an opening"),
        ("{a=b}}", 6, "without an opening"),
        ("{a=b} c=d", 7, "after the closing brace"),
        ("{a=b c=d}", 6, "comma"),
        ("a=b c=d", 5, "comma"),
        (",", 1, "name"),
        ("a=b,,c=d", 5, "name"),
        ("{a=b, c}", 8, "one of ="),
        ("{{a=b}}", 2, "name"),
    ] {
        let error = parse_matchers(text).expect_err(text);
        assert_eq!((error.at, error.what.contains(what)), (at, true), "{text}: {error}");
    }
}

#[test]
fn lists_and_matchers_have_limits() {
    let list = |count: usize| parse_matchers(&vec!["a=b"; count].join(","));
    assert_eq!(list(MOST_MATCHERS).map(|list| list.len()), Ok(50));
    assert!(list(MOST_MATCHERS + 1).expect_err("too many").what.contains("more than 50"));

    let long = |length: usize| Matcher::new("a", Op::Equal, "x".repeat(length - 1));
    assert!(long(LONGEST_MATCHER).is_ok());
    assert!(long(LONGEST_MATCHER + 1).expect_err("too long").contains("1024"));
    let error = parse_matchers(&format!("a=b, c=\"{}\"", "x".repeat(2000))).expect_err("too long");
    assert_eq!((error.at, error.what.as_str()), (6, "longer than 1024 bytes"));
}

#[test]
fn an_expression_has_to_match_from_end_to_end() {
    for (text, accepted, refused) in [
        ("a=~\"b|c\"", ["b", "c"], ["bc", "xb"]),
        ("a=~\"b\"", ["b", "b"], ["bb", "b\n"]),
        ("a=~\"(?i)b.*\"", ["B", "bx"], ["ab", ""]),
        ("a=~\".+\"", ["x", "é"], ["", "\n"]),
        ("a=~\"\"", ["", ""], ["x", " "]),
        ("a=\"\"", ["", ""], ["x", " "]),
        ("a!=\"b\"", ["", "bb"], ["b", "b"]),
        ("a!~\"b+\"", ["", "abb"], ["b", "bb"]),
    ] {
        assert_eq!(accepted.map(|value| matcher(text).accepts(value)), [true, true], "{text}");
        assert_eq!(refused.map(|value| matcher(text).accepts(value)), [false, false], "{text}");
    }
}

#[test]
fn a_missing_label_is_the_empty_string() {
    let some = labels(&[("a", "b"), ("empty", "")]);
    for (text, expected) in [
        ("a=b", true),
        ("a=c", false),
        ("missing=\"\"", true),
        ("empty=\"\"", true),
        ("missing!=\"\"", false),
        ("missing!=x", true),
        ("missing=~\"x?\"", true),
        ("missing!~\"x?\"", false),
        ("A=b", false),
    ] {
        assert_eq!(matcher(text).matches(&some), expected, "{text}");
    }
}

#[test]
fn in_json_it_is_its_text() {
    let list: Vec<Matcher> = serde_json::from_str(r#"["a=b", "c=~\"d.*\""]"#).expect("matchers");
    assert_eq!(serde_json::to_string(&list).expect("text"), r#"["a=\"b\"","c=~\"d.*\""]"#);
    let error = serde_json::from_str::<Matcher>(r#""a=~\"(\"""#).expect_err("no matcher");
    assert!(error.to_string().contains("character 4: not a regular expression"), "{error}");
}

#[test]
fn matchers_differ_by_name_operator_and_value() {
    assert_eq!(matcher("a=b"), matcher(r#""a" = "b""#));
    for other in ["b=b", "a!=b", "a=c", "a=~b"] {
        assert_ne!(matcher("a=b"), matcher(other));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(name in "[a-z0-9_ =\"\\\\é\n]{1,6}", literal in any::<bool>(), negated in any::<bool>(), value in "[a-z\"\\\\ ,{}=~!\né]{0,8}") {
        let op = match (literal, negated) {
            (true, false) => Op::Equal,
            (true, true) => Op::NotEqual,
            (false, false) => Op::Matches,
            (false, true) => Op::MatchesNot,
        };
        let value = if literal { value } else { regex::escape(&value) };
        let first = Matcher::new(name, op, value).expect("a matcher");
        let text = first.to_string();
        prop_assert_eq!(&first, &matcher(&text), "{}", text);
        let list = format!("{{{text},{text}}}");
        prop_assert_eq!(parse_matchers(&list), Ok(vec![first.clone(), first]), "{}", list);
    }

    #[test]
    fn nothing_makes_it_panic(pieces in proptest::collection::vec(select(vec!["a", "=", "!", "~", "\"", "\\", "{", "}", ",", " ", "é", "(", "n"]), 0..12)) {
        let text = pieces.concat();
        if let Err(error) = parse_matchers(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}: {}", text, error);
        }
    }
}
