//! Who is routed where.

use uuid::Uuid;

use super::*;
use crate::id::PolicyId;

fn rule(name: &str, matchers: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        matchers: parse_matchers(matchers).expect("matchers"),
        policy: PolicyId(Uuid::from_u128(1)),
        severity: None,
        enabled: true,
    }
}

fn off(rule: Rule) -> Rule {
    Rule { enabled: false, ..rule }
}

fn chosen<'a>(rules: &'a [Rule], of: &Subject) -> Option<&'a str> {
    choose(rules, of).map(|rule| rule.name.as_str())
}

#[test]
fn the_first_enabled_rule_that_matches_is_chosen() {
    let rules = [
        off(rule("off", "")),
        rule("database", "team=db"),
        rule("critical database", "team=db,severity=critical"),
        rule("the rest", ""),
    ];
    let of = |pairs: &[_]| Subject { labels: labels(pairs), members: vec![] };
    assert_eq!(chosen(&rules, &of(&[("team", "db"), ("severity", "critical")])), Some("database"));
    assert_eq!(chosen(&rules, &of(&[("team", "web")])), Some("the rest"));
    assert_eq!(chosen(&rules[..3], &of(&[("team", "web")])), None);
    assert_eq!(chosen(&[], &of(&[])), None);
}

#[test]
fn a_rule_matches_the_labels_of_any_alert_that_fires() {
    let of = Subject {
        labels: labels(&[("team", "db"), ("severity", "warning")]),
        members: vec![labels(&[("host", "a")]), labels(&[("host", "b"), ("severity", "critical")])],
    };
    // The member's own severity lies over the common one.
    for (matchers, expected) in [
        ("team=db", true),
        ("host=a,severity=warning", true),
        ("host=b,severity=critical,team=db", true),
        ("host=b,severity=warning", false),
        ("host=a,severity=critical", false),
        ("host=a,host=b", false),
        // The incident's own labels count as well: no member is without a host.
        ("host=\"\",severity=warning", true),
        ("host=\"\",severity=critical", false),
    ] {
        assert_eq!(chosen(&[rule("it", matchers)], &of).is_some(), expected, "{matchers}");
    }
}

#[test]
fn a_rule_that_can_never_match_is_named_with_the_reason() {
    let words =
        |rules: &[Rule]| never_matches(rules).iter().map(|(at, why)| format!("{at}: {why}")).collect::<Vec<_>>();
    for (rules, expected) in [
        (vec![rule("all", ""), rule("b", "a=b")], vec!["1: rule \"all\" stands before it and takes everything"]),
        (vec![off(rule("all", "")), rule("b", "a=b")], vec![]),
        (vec![rule("all", ""), off(rule("b", "a=b"))], vec![]),
        (
            vec![rule("b", "a=b"), rule("x", "c=d"), rule("bc", "c!=d,a=b")],
            vec!["2: rule \"b\" stands before it and takes everything it could match"],
        ),
        (vec![rule("bc", "a=b,c=d"), rule("b", "a=b")], vec![]),
        (
            vec![rule("b", "a=b"), rule("b again", "a=b"), rule("all", "")],
            vec!["1: rule \"b\" stands before it and takes everything it could match"],
        ),
        // What is equal to a value satisfies the broader condition.
        (
            vec![rule("some", "a=~\"b|c\""), rule("b", "a=b")],
            vec!["1: rule \"some\" stands before it and takes everything it could match"],
        ),
        (vec![rule("some", "a=~\"b|c\""), rule("d", "a=d")], vec![]),
        (vec![rule("set", "a!=\"\""), rule("other", "z=b")], vec![]),
        (vec![rule("x", "a=x,a=y")], vec![r#"0: no label can satisfy both a="x" and a="y""#]),
        (vec![rule("x", "a=x,a!=x")], vec![r#"0: no label can satisfy both a="x" and a!="x""#]),
        (vec![rule("x", "a!=x,a=x")], vec![r#"0: no label can satisfy both a!="x" and a="x""#]),
        (vec![rule("x", "b=z,a=x,a=~\"y+\"")], vec![r#"0: no label can satisfy both a="x" and a=~"y+""#]),
        (vec![rule("x", "a=~\"y+\",a=x")], vec![r#"0: no label can satisfy both a=~"y+" and a="x""#]),
        (vec![rule("x", "a=\"\",a!=\"\"")], vec![r#"0: no label can satisfy both a="" and a!="""#]),
        (vec![rule("x", "a=~b,a!~b")], vec![r#"0: no label can satisfy both a=~"b" and a!~"b""#]),
        (vec![rule("x", "a!~b,a=~b")], vec![r#"0: no label can satisfy both a!~"b" and a=~"b""#]),
        (vec![rule("x", "a=x,b!=x,a=~\"x|y\",a!~y")], vec![]),
        (vec![rule("x", "a!~b,a!=b,a=~c")], vec![]),
        // A rule that matches nothing takes nothing from the others.
        (vec![rule("x", "a=x,a=y"), rule("y", "a=x,b=y")], vec![r#"0: no label can satisfy both a="x" and a="y""#]),
    ] {
        assert_eq!(words(&rules), expected, "{rules:#?}");
    }
}

#[test]
fn a_rule_that_is_said_to_never_match_never_does() {
    let pool = ["a=x", "a=y", "a!=x", "a=~\"x|y\"", "a!~\"x|y\"", "a=\"\"", "a!=\"\"", "b=x", "b=~\".+\""];
    let values = ["", "x", "y", "z"];
    let subjects = values.iter().flat_map(|a| values.iter().map(move |b| (a, b)));
    let subjects: Vec<Subject> =
        subjects.map(|(a, b)| Subject { labels: labels(&[("a", a), ("b", b)]), members: vec![] }).collect();
    let pairs: Vec<String> = pool.iter().flat_map(|one| pool.iter().map(move |two| format!("{one},{two}"))).collect();
    let (mut never, mut seen) = (0, 0);
    for earlier in pool {
        for later in &pairs {
            let rules = [rule("earlier", earlier), rule("later", later)];
            let reached = subjects.iter().any(|of| chosen(&rules, of) == Some("later"));
            let said = never_matches(&rules).iter().any(|(at, _)| *at == 1);
            assert!(!(said && reached), "{earlier} / {later}");
            never += usize::from(!reached);
            seen += usize::from(said);
        }
    }
    // It need not see through everything, but if it saw nothing it would be right in vain.
    assert!(seen * 10 > never * 8, "{seen} of {never}");
}

#[test]
fn a_rule_is_stored_as_json_with_sensible_defaults() {
    let text = r#"{"name":"x","policy":"00000000-0000-0000-0000-000000000001"}"#;
    assert_eq!(serde_json::from_str::<Rule>(text).expect("a rule"), rule("x", ""));
    let full = Rule { severity: Some("critical".to_owned()), ..off(rule("x", "a=~\"b.*\"")) };
    let text = serde_json::to_string(&full).expect("text");
    assert_eq!(serde_json::from_str::<Rule>(&text).expect("a rule"), full, "{text}");
}
