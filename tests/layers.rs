//! Who may import whom: a module may use the rows above its own, never its own row. And no
//! hand-written file grows past 600 lines.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The rows, the one that knows least first. Modules in the same row do not know each other.
const ROWS: [&[&str]; 6] = [
    &["id", "clock", "phone", "pin", "wallclock", "telemetry", "failpoint"],
    &[
        "access",
        "answer",
        "escalation",
        "oncall",
        "calendar",
        "triage",
        "recurrence",
        "route",
        "script",
        "exchange",
        "ami",
        "agi",
        "modem",
        "twilio",
        "speech",
        "webhook",
    ],
    &["config", "store", "bus"],
    &["engine", "watch", "herald"],
    &["dialer", "ivr", "texter", "notifier", "lifesign", "api"],
    &["app", "cli"],
];
/// The last row: nothing is barred there, its own row included.
const FREE: usize = ROWS.len() - 1;
/// What decides is pure: no tokio, no database, no HTTP.
const PURE: [&str; 11] = [
    "access",
    "answer",
    "escalation",
    "oncall",
    "calendar",
    "triage",
    "recurrence",
    "route",
    "script",
    "exchange",
    "wallclock",
];
/// Parts of modules that do more, which are pure all the same.
const PURE_PARTS: [&str; 1] = ["src/modem/pdu"];
/// Nobody else knows that there is a database.
const DATABASE: [&str; 3] = ["sea_orm", "entity::", "migration::"];
const LONGEST: usize = 600;

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of every module but `lib` and `main`, without its tests and comments, by name.
fn modules() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let source = root().join("src");
    let mut modules: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for path in files(&source) {
        let inside = path.strip_prefix(&source).expect("below src").with_extension("");
        let name = inside.iter().next().expect("a name").to_string_lossy().into_owned();
        let is_test = inside.iter().any(|part| part == "tests");
        if ["lib", "main"].contains(&&*name) || is_test {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        modules.entry(name).or_default().push((path, code.join("\n")));
    }
    modules
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The modules of this crate that a text names: `crate::name` and `use crate::{name, other::..}`.
fn named(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // Names at depth 0 of the braces.
            let (mut depth, mut word, mut begins) = (0, String::new(), true);
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.push(std::mem::take(&mut word));
                        begins = true;
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 && begins {
                    if c.is_alphanumeric() || c == '_' {
                        word.push(c);
                    } else if !word.is_empty() {
                        begins = false;
                    }
                }
            }
            found.push(word);
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.retain(|name| !name.is_empty() && name.chars().next().is_some_and(char::is_lowercase));
    found
}

#[test]
fn every_module_stands_in_a_row() {
    for module in modules().keys() {
        assert!(row(module).is_some(), "src/{module} stands in no row of tests/layers.rs");
    }
}

#[test]
fn a_module_uses_the_rows_above_its_own_only() {
    let mut uses = 0;
    for (module, files) in modules() {
        let own = row(&module).expect("a row");
        for (path, code) in files {
            for other in named(&code).into_iter().filter(|other| *other != module) {
                let Some(theirs) = row(&other) else { continue };
                uses += 1;
                assert!(theirs < own || own == FREE, "{}: {module} must not know {other}", path.display());
            }
        }
    }
    assert!(uses > 50, "only {uses} uses were found: this test reads the sources wrongly");
}

#[test]
fn what_decides_is_pure_and_only_the_store_knows_the_database() {
    for (module, files) in modules() {
        for (path, code) in files {
            let is_pure_part = PURE_PARTS.iter().any(|part| path.starts_with(root().join(part)));
            if is_pure_part || PURE.contains(&&*module) {
                // An address is a value like any other.
                let code = code.replace("std::net::IpAddr", "").replace("std::net::SocketAddr", "");
                for impure in ["tokio", "sea_orm", "poem", "reqwest", "std::fs", "std::net", "::now()"] {
                    assert!(!code.contains(impure), "{}: {impure}", path.display());
                }
            }
            if module != "store" {
                for database in DATABASE {
                    assert!(!code.contains(database), "{}: {database}", path.display());
                }
            }
        }
    }
}

#[test]
fn no_hand_written_file_is_too_long() {
    let folders = ["src", "tests", "lab", "entity/src", "migration/src"];
    for path in folders.iter().flat_map(|folder| files(&root().join(folder))) {
        let lines = fs::read_to_string(&path).expect("a source file").lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines", path.display());
    }
}
