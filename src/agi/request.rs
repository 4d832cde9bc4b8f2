//! The environment Asterisk opens a connection with, lines to [`Request`]. No I/O.

use super::Error;

/// Who calls, and what the dialplan asked for: `AGI(agi://host/path?name=value,first,second)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    path: String,
    query: Vec<(String, String)>,
    args: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Request {
    /// What stands between host and query, always with a leading slash and otherwise as it
    /// came: `/alert`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The first query parameter of this name, percent and plus decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// The channel's unique id: the `ChannelId` given to `Originate`. Never empty.
    #[must_use]
    pub fn uniqueid(&self) -> &str {
        self.get("agi_uniqueid").unwrap_or_default()
    }

    /// The channel's name, as in `PJSIP/trunk-00000001`.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.get("agi_channel").unwrap_or_default()
    }

    /// The channel's language, as in `en`.
    #[must_use]
    pub fn language(&self) -> &str {
        self.get("agi_language").unwrap_or_default()
    }

    /// The caller's number, if there is one.
    #[must_use]
    pub fn caller_id(&self) -> Option<&str> {
        self.known("agi_callerid")
    }

    /// The caller's name, if there is one.
    #[must_use]
    pub fn caller_name(&self) -> Option<&str> {
        self.known("agi_calleridname")
    }

    /// What the dialplan passed after the URL.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The n-th argument, counted from 1 as in `agi_arg_1`.
    #[must_use]
    pub fn arg(&self, n: usize) -> Option<&str> {
        self.args.get(n.checked_sub(1)?).map(String::as_str)
    }

    /// Any variable of the environment by its full name: `agi_dnid`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.variables, name)
    }

    /// Asterisk writes `unknown` where it has nothing.
    fn known(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty() && *value != "unknown")
    }
}

/// The first of a name counts: what Asterisk says itself stands before what a caller or the dialplan can put there, so
/// a line feed in a caller's name cannot pose as another call.
fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Collects the lines of one environment.
pub(super) struct Environment {
    variables: Vec<(String, String)>,
    lines: usize,
    bytes: usize,
    most_lines: usize,
    most_bytes: usize,
}

impl Environment {
    pub(super) fn new(most_lines: usize, most_bytes: usize) -> Self {
        Self { variables: Vec::new(), lines: 0, bytes: 0, most_lines, most_bytes }
    }

    /// Takes one line that is not blank.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Error> {
        self.lines += 1;
        self.bytes += line.len();
        if self.lines > self.most_lines || self.bytes > self.most_bytes {
            return Err(Error::TooLong);
        }
        let pair = line.split_once(':').filter(|(name, _)| name.starts_with("agi_"));
        let Some((name, value)) = pair else {
            // The first line tells a peer that speaks something else. Later ones are rests of
            // values with line feeds in them (a caller's name can be anything).
            if self.variables.is_empty() {
                return Err(Error::Malformed("the first line is no agi_ variable"));
            }
            return Ok(());
        };
        let value = value.strip_prefix(' ').unwrap_or(value);
        self.variables.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// The blank line has come. `None` if nothing stood before it.
    pub(super) fn finish(self) -> Result<Option<Request>, Error> {
        let variables = self.variables;
        if variables.is_empty() {
            return Ok(None);
        }
        if find(&variables, "agi_uniqueid").is_none_or(str::is_empty) {
            return Err(Error::Malformed("no agi_uniqueid"));
        }
        let (path, query) = target(&variables);
        let args = (1..).map_while(|n| find(&variables, &format!("agi_arg_{n}"))).map(str::to_owned).collect();
        Ok(Some(Request { path, query, args, variables }))
    }
}

/// Path and query: `agi_network_script` is `alert?call=1`, and left out where the URL has no path;
/// `agi_request` is the whole URL.
fn target(variables: &[(String, String)]) -> (String, Vec<(String, String)>) {
    let target = find(variables, "agi_network_script")
        .or_else(|| {
            let (_, rest) = find(variables, "agi_request")?.split_once("://")?;
            rest.split_once('/').map(|(_, target)| target)
        })
        .unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    (format!("/{}", path.trim_start_matches('/')), query)
}
