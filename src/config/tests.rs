use super::*;

const GOOD: &str = r#"
    [asterisk]
    address = "127.0.0.1:5038"
    user = "ringdown"
    secret = "9c41f00dfeed7b28"

    [numbers]
    country = "IT"

    [destinations]
    allow = ["+39"]

    [[contacts]]
    name = "Ana"
    numbers = ["+39 333 1234567"]

    [[policies]]
    name = "night"
    default = true
    steps = [{ targets = ["Ana", "+39 055 4218123"] }]
"#;

fn mistakes(toml: &str) -> Vec<String> {
    Config::from_toml(toml).expect_err("a configuration with mistakes").0
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = Config::from_toml("").expect("defaults");
    assert_eq!(config.database_url(), "sqlite:data/ringdown.db");
    assert!(config.asterisk.is_none());
}

#[test]
fn a_good_one_loads() {
    let config = Config::from_toml(GOOD).expect("a good configuration");
    assert_eq!(config.policies[0].steps[0].delay, 60);
    assert_eq!(config.agi_url(), "agi://127.0.0.1:4573");
}

#[test]
fn the_example_loads_and_names_every_setting() {
    let example = include_str!("../../ringdown.example.toml");
    // As it is it must not start: its secrets are placeholders. With others it does.
    assert!(mistakes(example).iter().any(|mistake| mistake.contains("placeholder")));
    let filled = example.replace("change-me-with-openssl-rand", "9c41f00dfeed7b28");
    Config::from_toml(&filled).expect("the example");
    // Every setting stands in it, commented out or not.
    for name in serde_json::to_value(Server::default()).expect("serializes").as_object().expect("a map").keys() {
        assert!(example.contains(&format!("{name} =")), "server.{name} is missing from the example");
    }
    for (section, value) in [
        ("agi", serde_json::to_value(Agi::default())),
        ("speech", serde_json::to_value(Speech::default())),
        ("call", serde_json::to_value(Call::default())),
        ("numbers", serde_json::to_value(Numbers::default())),
        ("destinations", serde_json::to_value(Destinations::default())),
        ("alertmanager", serde_json::to_value(Alertmanager::default())),
        ("sms", serde_json::to_value(Sms::default())),
        ("compat", serde_json::to_value(Compat::default())),
        ("tokens", serde_json::to_value(Tokens::default())),
        ("log", serde_json::to_value(Log::default())),
        ("database", serde_json::to_value(Database::default())),
    ] {
        for name in value.expect("serializes").as_object().expect("a map").keys() {
            assert!(
                example.contains(&format!("{name} =")) || example.contains(&format!("{name}]")),
                "{section}.{name} is missing from the example"
            );
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = mistakes(
        r#"
        nonsense = 1
        [server]
        listen = "here"
        [asterisk]
        address = "127.0.0.1:5038"
        user = "ringdown"
        secret = "changeme"
        dial = "PJSIP/trunk"
        [call]
        keys = { acknowledge = "5" }
        [numbers]
        country = "XX"
        [destinations]
        allow = ["39"]
        [[contacts]]
        name = "Ana"
        numbers = ["112", "+44 20 7183 8750", "9200@net&PJSIP/9300"]
        [[policies]]
        name = "night"
        steps = [{ targets = ["Nobody"], attempts = 0 }]
        "#,
    );
    for expected in [
        "nonsense",
        "server.listen",
        "shorter",
        "placeholder",
        "{number}",
        "two meanings",
        "XX",
        "\"39\"",
        "112",
        "+44",
        "9200@net",
        "Nobody",
        "attempts",
    ] {
        assert!(told.iter().any(|mistake| mistake.contains(expected)), "{expected} is not in {told:#?}");
    }
}

#[test]
fn a_policy_that_can_reach_nobody_is_refused() {
    for (steps, expected) in [
        ("[]", "no steps"),
        ("[{ targets = [] }]", "no targets"),
        ("[{ targets = [\"Bo\"] }]", "no number"),
        ("[{ targets = [\"Cy\"] }]", "disabled"),
        ("[{ targets = [\"+391\"] }]", "not a valid phone number"),
    ] {
        let toml = format!(
            "[[contacts]]\nname = \"Bo\"\nnumbers = []\n[[contacts]]\nname = \"Cy\"\nenabled = false\n\
             numbers = [\"+39 333 1234567\"]\n[destinations]\nallow = [\"+39\"]\n\
             [[policies]]\nname = \"p\"\nsteps = {steps}\n"
        );
        let told = mistakes(&toml);
        assert!(told.iter().any(|mistake| mistake.contains(expected)), "{steps}: {told:?}");
    }
}

#[test]
fn secrets_do_not_show() {
    let config = Config::from_toml(GOOD).expect("a good configuration");
    assert!(!format!("{config:?}").contains("f00dfeed"));
}

#[test]
fn what_is_wrong_with_a_modem_is_told() {
    let told = mistakes(
        r#"
        [sms]
        segments = 0
        expires = 1
        per_hour = 0
        [[modems]]
        name = "gsm"
        path = "modem"
        pin = "12a4"
        smsc = "390000"
        [[modems]]
        name = "gsm"
        path = "modem"
        pin = "1234"
        pin_file = "/nowhere/at-all"
        sent_within = 0
        "#,
    );
    for expected in [
        "segments",
        "expires",
        "per_hour",
        "absolute",
        "4 to 8 digits",
        "smsc",
        "twice",
        "another modem",
        "one too many",
        "/nowhere/at-all",
        "sent_within",
    ] {
        assert!(told.iter().any(|mistake| mistake.contains(expected)), "{expected} is not in {told:#?}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "1234\n").expect("written");
    let good = format!("[[modems]]\nname = \"gsm\"\npath = \"/dev/x\"\npin_file = {:?}\n", file.path());
    let config = Config::from_toml(&good).expect("a good configuration");
    let pin = config.modems[0].pin.as_ref().map(secrecy::ExposeSecret::expose_secret);
    assert_eq!(pin, Some("1234"));
    assert!(!format!("{config:?}").contains("1234"));
}

#[test]
fn what_is_wrong_with_an_account_of_twilios_is_told() {
    let told = mistakes(
        r#"
        [sms]
        ways = ["twilio", "gsm2"]
        [[modems]]
        name = "gsm"
        path = "/dev/x"
        [twilio]
        account = "AC1"
        key = "SK1"
        from = "+15005550006"
        service = "MG1"
        numbers = ["5005550006"]
        url = "http://api.twilio.com"
        public_url = "alerts.example.org"
        poll = 0
        at_once = 0
        "#,
    );
    for expected in [
        "the account is AC and 32",
        "key and key_secret go together",
        "either from or service",
        "twilio.numbers",
        "no http:// or https:// address",
        "needs token",
        "poll is 1 to 3600",
        "at_once",
        "sms.ways: names each way once: gsm, twilio",
    ] {
        assert!(told.iter().any(|mistake| mistake.contains(expected)), "{expected} is not in {told:#?}");
    }
    let account = "[twilio]\naccount = \"AC0123456789abcdef0123456789abcdef\"\nfrom = \"+15005550006\"\n";
    let told = mistakes(account);
    assert!(told.iter().any(|mistake| mistake.contains("a token is not empty")), "{told:?}");
    let config = Config::from_toml(&format!("{account}token = \"f00dfeed\"\n")).expect("a good configuration");
    assert!(!format!("{config:?}").contains("f00dfeed"));
    let twilio = config.twilio.as_ref().expect("an account");
    assert_eq!((twilio.numbers(), twilio.poll().as_secs()), (vec!["+15005550006".to_owned()], 10));
    assert_eq!(config.ways_of_texts(), ["twilio"]);
}
