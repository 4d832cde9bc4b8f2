//! Every file that a fuzzer begins with, and every one that ever broke something, on an ordinary compiler.

use std::{fs, path::Path};

use conformance::properties;

/// Feeds every file of a target to its property. Returns how many there were.
fn feed(target: &str, property: fn(&[u8])) -> usize {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("fuzz");
    let mut fed = 0;
    for kind in ["corpus", "crashes"] {
        let directory = fuzz.join(kind).join(target);
        let Ok(files) = fs::read_dir(&directory) else { continue };
        for file in files {
            let path = file.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            if let Err(panic) = std::panic::catch_unwind(|| property(&bytes)) {
                let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                panic!("{}: {words}", path.display());
            }
            fed += 1;
        }
    }
    fed
}

#[test]
fn agi_holds_for_the_corpus() {
    assert!(feed("agi", properties::agi) >= 10);
}

#[test]
fn ami_holds_for_the_corpus() {
    assert!(feed("ami", properties::ami) >= 10);
}

#[test]
fn alertmanager_holds_for_the_corpus() {
    assert!(feed("alertmanager", properties::alertmanager) >= 8);
}

#[test]
fn matchers_hold_for_the_corpus() {
    assert!(feed("matchers", properties::matchers) >= 10);
}
