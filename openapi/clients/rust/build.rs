//! Makes the client of the document that RINGDOWN_OPENAPI names.

use std::{env, fs, path::Path};

fn main() {
    let document = env::var("RINGDOWN_OPENAPI").expect("RINGDOWN_OPENAPI names the document: make clients");
    println!("cargo:rerun-if-env-changed=RINGDOWN_OPENAPI");
    println!("cargo:rerun-if-changed={document}");
    let document = serde_json::from_reader(fs::File::open(&document).expect("the document")).expect("OpenAPI 3.0");
    let mut settings = progenitor::GenerationSettings::default();
    settings.with_interface(progenitor::InterfaceStyle::Builder);
    let tokens = progenitor::Generator::new(&settings).generate_tokens(&document).expect("a client");
    let client = prettyplease::unparse(&syn::parse2(tokens).expect("Rust"));
    fs::write(Path::new(&env::var("OUT_DIR").expect("OUT_DIR")).join("client.rs"), client).expect("written");
}
