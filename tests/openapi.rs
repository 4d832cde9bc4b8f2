//! The checked-in OpenAPI document is what the code serves.

use std::{fs, process::Command};

#[test]
fn the_document_is_what_the_code_serves() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringdown")).arg("openapi").output().expect("ringdown runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let served = String::from_utf8(output.stdout).expect("UTF-8");
    let checked_in =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json")).expect("the document");
    assert!(served == checked_in, "openapi/openapi.json is out of date: ringdown openapi > openapi/openapi.json");
}

#[test]
fn every_operation_but_a_few_needs_a_credential() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json")).expect("the document");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            operations += 1;
            let open = operation["security"].as_array().is_none_or(Vec::is_empty);
            // The address of a feed is a secret by itself, and so are a password and a refresh token.
            let may_be = matches!(
                path.as_str(),
                "/" | "/health" | "/healthz" | "/readyz" | "/feeds/{file}" | "/api/v2/token" | "/api/v2/token/revoke"
            );
            assert_eq!(open, may_be, "{method} {path}");
        }
    }
    assert!(operations > 10, "{operations} operations");
}
