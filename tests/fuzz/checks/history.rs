//! Lines of the history: each is a record or skipped, all are dated, and the report of them is whole in its four forms.

use clockgate::history::{HistoryRecord, date};
use clockgate::report::{Fold, Window, write_html, write_json, write_svg, write_text};
use serde_json::Value;

/// More lines than these say nothing new.
const MOST_LINES: usize = 64;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(MOST_LINES).collect();
    let records: Vec<HistoryRecord<'_>> = lines.iter().filter_map(|line| HistoryRecord::parse(line)).collect();
    for record in &records {
        let fields = record.fields();
        assert_eq!(fields.get("event").and_then(Value::as_str), Some(&*record.event));
        assert_eq!(fields.get("boot_id").and_then(Value::as_str), Some(&*record.boot));
        assert_eq!(fields.get("epoch").and_then(Value::as_u64), Some(record.epoch));
        assert!(record.truth().is_none() || record.gate == "open");
        let _ = (record.message(), record.answers(), record.epoch_began(), record.stepped(), record.measured());
    }
    let count = records.len();
    assert_eq!(date(records).len(), count);
    let mut fold = Fold::default();
    lines.iter().for_each(|line| fold.add_line(line));
    let _ = fold.clone().last();
    let report = fold.report(&Window::default());
    let mut forms = [vec![], vec![], vec![], vec![]];
    let [json, text, svg, html] = &mut forms;
    write_json(&report, json).unwrap();
    write_text(&report, |_| Some(3600), text).unwrap();
    write_svg(&report, |_| None, svg).unwrap();
    write_html(&report, |_| None, html).unwrap();
    let json: Value = serde_json::from_slice(json).expect("JSON");
    assert_eq!(json["records"], count);
    assert_eq!(json["skipped"], lines.len() - count);
    let text = String::from_utf8_lossy(text);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    for form in [svg, html] {
        nested(&String::from_utf8_lossy(form));
    }
}

/// Every tag is closed by its own: no name of a container or a reference makes one.
fn nested(text: &str) {
    let mut open = vec![];
    for before in text.split('<').skip(1).map(|part| part.split_once('>').map_or(part, |(tag, _)| tag)) {
        let name = before.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        match before {
            _ if before.starts_with(['!', '?']) || before.ends_with('/') || ["meta", "link", "br"].contains(&name) => {}
            _ if before.starts_with('/') => assert_eq!(open.pop(), Some(name), "{text}"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} stay open: {text}");
}
