//! Asterisk's events of channels, as a table or as one JSON object per line.

use std::borrow::Cow;

use super::csv::write_line;

const COLUMNS: [&str; 6] = ["id", "call_id", "at", "event", "channel", "headers"];

/// An event of a channel.
#[derive(Clone, Copy, Debug)]
pub struct EventRow<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// The call whose channel it is.
    pub call_id: &'a str,
    /// When it came, as RFC 3339.
    pub at: &'a str,
    /// Its name.
    pub event: &'a str,
    /// The channel.
    pub channel: Option<&'a str>,
    /// What else it said.
    pub headers: &'a serde_json::Value,
}

/// Writes the header of the table.
pub fn write_header(out: &mut Vec<u8>) {
    write_line(out, COLUMNS.map(Cow::Borrowed));
}

/// Writes an event as a line of the table.
pub fn write_row(out: &mut Vec<u8>, row: &EventRow<'_>) {
    let cells = [row.id, row.call_id, row.at, row.event, row.channel.unwrap_or_default()].map(Cow::Borrowed);
    write_line(out, cells.into_iter().chain([Cow::Owned(row.headers.to_string())]));
}

/// Writes an event as an object in a line of its own.
pub fn write_object(out: &mut Vec<u8>, row: &EventRow<'_>) {
    let EventRow { id, call_id, at, event, channel, headers } = row;
    let object = serde_json::json!({
        "id": id, "call_id": call_id, "at": at, "event": event, "channel": channel, "headers": headers,
    });
    out.extend(object.to_string().into_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_a_spreadsheet_would_execute_is_defused_and_json_is_one_line() {
        let headers = serde_json::json!({ "Cause-txt": "a\nb, \"c\"" });
        let row = EventRow {
            id: "1",
            call_id: "2",
            at: "2026-11-22T10:00:00Z",
            event: "Hangup",
            channel: Some("=cmd|' /C calc'!A0"),
            headers: &headers,
        };
        let (mut table, mut lines) = (Vec::new(), Vec::new());
        write_header(&mut table);
        write_row(&mut table, &row);
        write_object(&mut lines, &row);
        assert_eq!(
            String::from_utf8(table).unwrap(),
            "id,call_id,at,event,channel,headers\r\n\
             1,2,2026-11-22T10:00:00Z,Hangup,'=cmd|' /C calc'!A0,\"{\"\"Cause-txt\"\":\"\"a\\nb, \\\"\"c\\\"\"\"\"}\"\r\n"
        );
        let lines = String::from_utf8(lines).unwrap();
        assert_eq!(lines.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!((&read["event"], &read["headers"]), (&"Hangup".into(), &headers));
    }
}
