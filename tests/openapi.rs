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
            // The address of a feed is a secret by itself, and so are a password and a refresh token. Twilio signs.
            let may_be = matches!(
                path.as_str(),
                "/" | "/health"
                    | "/healthz"
                    | "/readyz"
                    | "/feeds/{file}"
                    | "/api/v2/token"
                    | "/api/v2/token/revoke"
                    | "/api/v2/twilio/inbound"
                    | "/api/v2/twilio/status"
            );
            assert_eq!(open, may_be, "{method} {path}");
        }
    }
    assert!(operations > 10, "{operations} operations");
}

#[test]
fn everything_is_described_and_only_what_can_happen_is_listed() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json")).expect("the document");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        assert!(schema["description"].is_string(), "{name} has no description");
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            let said = schema["description"].is_string() || schema["$ref"].is_string();
            assert!(said, "{name}.{property} has no description");
        }
    }
    // Whoever adds an example for a schema that is called otherwise meanwhile is told here.
    let examples: serde_json::Value = serde_json::from_str(include_str!("../src/api/examples.json")).expect("JSON");
    for (name, example) in examples.as_object().expect("examples") {
        assert_eq!(schemas.get(name).map(|schema| &schema["example"]), Some(example), "{name}");
    }
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let place = format!("{method} {path}");
            let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            for parameter in parameters {
                assert!(parameter["description"].is_string(), "{place}: {}", parameter["name"]);
            }
            let answers = operation["responses"].as_object().expect("answers");
            let versioned = parameters.iter().any(|parameter| parameter["name"] == "If-Match");
            assert_eq!(answers.contains_key("412"), versioned, "{place}");
            assert_eq!(answers.contains_key("428"), versioned, "{place}");
            assert_eq!(answers.contains_key("415"), operation.get("requestBody").is_some(), "{place}");
            for (status, answer) in answers {
                assert_ne!(answer["description"], "", "{place} {status}");
                let content = answer["content"].as_object();
                assert!(content.is_none_or(|content| content.len() == 1), "{place} {status}: one media type");
                // Too long an address is refused before anything of ours sees it.
                let unseen = ["414", "431"].contains(&status.as_str());
                if status.starts_with('4') && !unseen {
                    let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/ProblemDocument", "{place} {status}");
                }
            }
        }
    }
}
