//! The syntax as Alertmanager documents it (`syntax`), who is routed where (`rules`), and until when it
//! is quiet, found out second by second (`quiet`).

mod quiet;
mod rules;
mod syntax;

use super::*;

fn matcher(text: &str) -> Matcher {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
