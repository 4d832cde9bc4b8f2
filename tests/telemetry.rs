//! Every figure that is measured anywhere stands in the table of `telemetry`, with its labels; and every one in
//! the table is measured somewhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;
use ringdown::telemetry::{Kind, METRICS};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_is_measured_stands_in_the_table_and_the_other_way_round() {
    let known: BTreeMap<&str, _> = METRICS.iter().map(|metric| (metric.name, metric)).collect();
    // Incremented by the audit log, which is not part of this crate's sources everywhere yet.
    let mut measured: Vec<String> = Vec::new();
    let call =
        Regex::new(r#"metrics::(counter|gauge|histogram)!\(\s*"([^"]*)"((?:[^;]|\n)*?)\)\s*\.\s*\w+\("#).unwrap();
    let label = Regex::new(r#""(\w+)"\s*=>"#).unwrap();
    let macros = Regex::new(r"metrics::(?:counter|gauge|histogram)!").unwrap();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for path in files {
        let text = fs::read_to_string(&path).expect("a source file");
        let in_table = path.ends_with("telemetry.rs");
        let mut seen = 0;
        for found in call.captures_iter(&text) {
            seen += 1;
            let (kind, name) = (&found[1], &found[2]);
            let metric = known.get(name).unwrap_or_else(|| panic!("{}: {name} is in no table", path.display()));
            let same = match metric.kind {
                Kind::Counter => kind == "counter",
                Kind::Gauge => kind == "gauge",
                Kind::Histogram(_) => kind == "histogram",
            };
            assert!(same, "{}: {name} is no {kind}", path.display());
            let labels: Vec<&str> =
                label.captures_iter(&found[3]).map(|label| label.get(1).unwrap().as_str()).collect();
            assert_eq!(labels, metric.labels, "{}: labels of {name}", path.display());
            measured.push(name.to_owned());
        }
        // A name that is put together somewhere else could be anything.
        assert!(in_table || seen == macros.find_iter(&text).count(), "{}: a name that is no literal", path.display());
    }
    for name in known.keys() {
        assert!(measured.iter().any(|measured| measured == name), "{name} is in the table and measured nowhere");
    }
}

#[test]
fn rules_dashboard_and_documents_name_only_what_is_measured() {
    let name = Regex::new(r"\bringdown_[a-z_]+[a-z]").unwrap();
    for file in
        ["deploy/prometheus/rules.yml", "deploy/prometheus/rules_test.yml", "deploy/grafana/ringdown.json", "README.md"]
    {
        let text = read(file);
        let mut names = 0;
        for found in name.find_iter(&text).map(|found| found.as_str()) {
            let is = |metric: &ringdown::telemetry::Metric| match metric.kind {
                Kind::Histogram(_) => {
                    ["_bucket", "_sum", "_count"].iter().any(|end| found.strip_suffix(end) == Some(metric.name))
                }
                _ => found == metric.name,
            };
            let shown = METRICS.iter().any(|metric| is(metric) || (file == "README.md" && found == metric.name));
            assert!(shown, "{file}: {found} is not measured");
            names += 1;
        }
        assert!(names > 0, "{file} names no figure");
    }
}
