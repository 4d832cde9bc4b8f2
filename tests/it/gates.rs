//! What is promised in openapi.json holds, whatever is asked: schemathesis tries it. Nothing is called:
//! the server has no PBX.

use std::{env, path::Path, process::Stdio};

use anyhow::{Context, Result};
use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use serde_json::{Value, json};

/// Cases for each operation and phase, unless `RINGDOWN_FUZZ_CASES` says otherwise.
const CASES: &str = "5";

/// A program of scripts/openapi-tools.
pub fn tool(variable: &str, path: &str) -> Result<std::path::PathBuf> {
    let place = env::var_os(variable).with_context(|| format!("{variable} is not set: scripts/with openapi -- ..."))?;
    Ok(Path::new(&place).join(path))
}

/// The document, with what it does not say, since generators would make much of it: what may be left out
/// of a body may be null there as well.
fn nullable(document: &mut Value) {
    let mut wanted: Vec<String> = Vec::new();
    let operations = document["paths"].as_object().into_iter().flatten();
    for (_, operation) in operations.flat_map(|(_, methods)| methods.as_object().into_iter().flatten()) {
        references(&operation["requestBody"]["content"]["application/json"], &mut wanted);
    }
    let mut at = 0;
    while let Some(name) = wanted.get(at).cloned() {
        references(&document["components"]["schemas"][&name], &mut wanted);
        let schema = &mut document["components"]["schemas"][&name];
        let required = schema.get("required").cloned().unwrap_or_default();
        let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|other| other == name));
        for (name, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            if !is_required(name) {
                property["nullable"] = json!(true);
            }
            if let Some(values) = property.get_mut("additionalProperties").filter(|values| values.is_object()) {
                values["nullable"] = json!(true);
            }
        }
        at += 1;
    }
}

/// The names of the schemas that `value` refers to, each once.
fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|place| place.rsplit('/').next());
            if let Some(name) = name.filter(|name| !names.iter().any(|known| known == name)) {
                names.push(name.to_owned());
            }
            fields.values().for_each(|value| references(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

#[tokio::test]
async fn the_server_does_what_its_document_says_and_survives_everything_else() {
    let schemathesis = tool("RINGDOWN_TOOLS_PYTHON", "schemathesis").expect("schemathesis");
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &["+393331234567"]).policy("night", &[Step { targets: &["Ana"], ..Step::default() }]);
    settings.set("server.requests_per_second", 1_000_000).set("server.requests_at_once", 1_000_000);
    let program = Path::new(env!("CARGO_BIN_EXE_ringdown"));
    let mut server = Server::start(program, &slot, settings).await.expect("a server");
    let cases = env::var("RINGDOWN_FUZZ_CASES").unwrap_or_else(|_| CASES.into());
    // The same cases every time, unless they are to be others.
    let seed = env::var("RINGDOWN_FUZZ_SEED").unwrap_or_else(|_| "1".into());
    let openapi = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi");
    let mut document: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).expect("JSON");
    nullable(&mut document);
    let tried = slot.directory().join("openapi.json");
    std::fs::write(&tried, document.to_string()).expect("written");
    let output = tokio::process::Command::new(schemathesis)
        .arg("--config-file")
        .arg(openapi.join("schemathesis.toml"))
        .arg("run")
        .arg(&tried)
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing", "--workers", "1", "--no-color"])
        .args(["--max-examples", &cases, "--seed", &seed, "--warnings", "off"])
        .current_dir(slot.directory())
        .env("RINGDOWN_URL", &server.api.base)
        .env("RINGDOWN_KEY", &server.api.key)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("schemathesis runs");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "schemathesis found something:\n{said}\n{complained}");
    println!("{}", said.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
    let mut errors = server.errors();
    errors.retain(|line| !line.contains("no PBX is configured"));
    assert_eq!(errors, Vec::<String>::new(), "the log has errors");
    server.stop().await.expect("stops");
}
