//! One text put into a TOML file, by the place where it belongs: every other byte of the file stays.

use std::ops::Range;

use toml_edit::{Document, InlineTable, Item, Table, TableLike, Value};

const BOM: char = '\u{feff}';

/// The file with `value` under `keys`, the last of which is not a table.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn put(text: &str, keys: &[&str], value: &str) -> Result<String, String> {
    let body = text.strip_prefix(BOM).unwrap_or(text);
    let document = Document::parse(body).map_err(|error| super::no_toml(&error))?;
    let place = KeyPath { body, root: document.as_table(), keys, value: Value::from(value).to_string() };
    let (at, new) = place.edit()?;
    let mut edited = body.to_owned();
    edited.replace_range(at, &new);
    Ok(if body.len() == text.len() { edited } else { format!("{BOM}{edited}") })
}

/// A heading: its keys, its position, and where the last value below it ends.
type Heading = (Vec<String>, Range<usize>, usize);

struct KeyPath<'a> {
    body: &'a str,
    root: &'a Table,
    keys: &'a [&'a str],
    value: String,
}

impl KeyPath<'_> {
    fn edit(&self) -> Result<(Range<usize>, String), String> {
        let mut table = self.root;
        // How many keys stand in the heading that this table belongs to, and that table.
        let mut heading = (0, self.root);
        for (depth, key) in self.keys.iter().enumerate() {
            let is_last = depth + 1 == self.keys.len();
            match table.get(key) {
                None | Some(Item::None) => return Ok(self.add(table, depth, heading)),
                Some(Item::Table(next)) if !is_last => {
                    table = next;
                    if !next.is_dotted() {
                        heading = (depth + 1, next);
                    }
                }
                Some(Item::Value(Value::InlineTable(next))) if !is_last => return self.add_inline(next, depth + 1),
                Some(Item::Value(old)) if is_last => {
                    return Ok((old.span().ok_or("has a value that cannot be located")?, self.value.clone()));
                }
                Some(_) => return Err(format!("has `{key}`, and it is not what it should be")),
            }
        }
        Err("is asked for nothing".to_owned())
    }

    /// Into braces that are there.
    fn add_inline(&self, table: &InlineTable, depth: usize) -> Result<(Range<usize>, String), String> {
        let (mut inner, mut depth) = (table, depth);
        // Dotted keys inside have no braces of their own.
        let (mut braces, mut from) = (table, depth);
        while let Some(next) = self.keys.get(depth).and_then(|key| inner.get(key)) {
            depth += 1;
            if depth == self.keys.len() {
                return Ok((next.span().ok_or("has a value that cannot be located")?, self.value.clone()));
            }
            let Value::InlineTable(next) = next else {
                return Err(format!("has `{}`, and it is not a table", self.keys[depth - 1]));
            };
            inner = next;
            if !next.is_dotted() {
                (braces, from) = (next, depth);
            }
        }
        let (path, rest) = self.keys[from..].split_at(depth - from);
        let prefix: String = path.iter().map(|key| format!("{}.", quoted(key))).collect();
        let nested = rest.iter().skip(1).map(|key| format!("{{ {} = ", quoted(key))).collect::<String>();
        let first = rest.first().map(|key| quoted(key)).unwrap_or_default();
        let new = format!("{prefix}{first} = {nested}{}{}", self.value, " }".repeat(rest.len().saturating_sub(1)));
        Ok(match end_of(braces) {
            Some(end) => (end..end, format!(", {new}")),
            None => {
                let span = braces.span().ok_or("has braces that cannot be located")?;
                (span, format!("{{ {new} }}"))
            }
        })
    }

    /// A line, below its heading if there is one and below a new one if not.
    fn add(&self, table: &Table, depth: usize, (known, heading): (usize, &Table)) -> (Range<usize>, String) {
        let has_heading = known == 0 || !heading.is_implicit();
        if table.is_dotted() || (depth + 1 == self.keys.len() && has_heading) {
            let keys: Vec<String> = self.keys[known..].iter().map(|key| quoted(key)).collect();
            let last = end_of(table).or_else(|| end_of(heading));
            // The file as a whole has no heading, whatever its first table has.
            let span = heading.span().filter(|_| known > 0);
            let at = last.or_else(|| span.as_ref().map(|span| span.end)).map_or(0, |at| self.end_of_line(at));
            let indent = match last {
                Some(end) => self.indent_at(end).to_owned(),
                None => span.map(|span| self.below(self.indent_at(span.start))).unwrap_or_default(),
            };
            return self.lines(at, &[format!("{indent}{} = {}", keys.join("."), self.value)]);
        }
        let headings = self.headings();
        let family = headings.iter().filter(|(path, ..)| self.is_below(path)).max_by_key(|(path, ..)| path.len());
        // After the last heading of its family, and before the comments above the next one.
        let last = family.and_then(|(family, ..)| headings.iter().rposition(|(path, ..)| path.starts_with(family)));
        let next = last.and_then(|last| Some((headings.get(last)?, headings.get(last + 1)?)));
        let at = next.map_or(self.body.len(), |((.., end), (_, span, _))| self.above(span.start, *end));
        let indent = family.map(|(_, span, _)| self.indent_at(span.start)).unwrap_or_default();
        let (key, path) = self.keys.split_last().map_or(("", &[][..]), |(key, path)| (*key, path));
        let path: Vec<String> = path.iter().map(|key| quoted(key)).collect();
        let mut lines = vec![
            format!("{indent}[{}]", path.join(".")),
            format!("{}{} = {}", self.below(indent), quoted(key), self.value),
        ];
        if at > 0 && !self.body[..at].ends_with("\n\n") {
            lines.insert(0, String::new());
        }
        self.lines(at, &lines)
    }

    fn lines(&self, at: usize, lines: &[String]) -> (Range<usize>, String) {
        let end = if self.body.contains("\r\n") { "\r\n" } else { "\n" };
        let mut new: String = lines.iter().map(|line| format!("{line}{end}")).collect();
        if at > 0 && !self.body[..at].ends_with('\n') {
            new.insert_str(0, end);
        }
        (at..at, new)
    }

    /// Every heading in the order of the file.
    fn headings(&self) -> Vec<Heading> {
        fn walk(table: &Table, path: &[String], found: &mut Vec<Heading>) {
            if !path.is_empty()
                && !table.is_implicit()
                && !table.is_dotted()
                && let Some(span) = table.span()
            {
                let end = end_of(table).unwrap_or(span.end);
                found.push((path.to_vec(), span, end));
            }
            for (key, item) in table {
                let path = [path, &[key.to_owned()]].concat();
                match item {
                    Item::Table(table) => walk(table, &path, found),
                    Item::ArrayOfTables(tables) => tables.iter().for_each(|table| walk(table, &path, found)),
                    Item::None | Item::Value(_) => {}
                }
            }
        }
        let mut found = vec![];
        walk(self.root, &[], &mut found);
        found.sort_by_key(|(_, span, _)| span.start);
        found
    }

    fn is_below(&self, path: &[String]) -> bool {
        path.len() < self.keys.len() && path.iter().zip(self.keys).all(|(a, b)| a == b)
    }

    /// After the last line with something in it before the heading at `at` and the comments that stand right above it. The value that
    /// ends at `end` may have lines that look like comments.
    fn above(&self, at: usize, end: usize) -> usize {
        let mut line = self.start_of_line(at);
        while let Some(before) = line.checked_sub(1).map(|end| self.start_of_line(end)) {
            if before < end || !self.body[before..line].trim_start().starts_with('#') {
                break;
            }
            line = before;
        }
        let end = self.body[..line].trim_end().len();
        if end == 0 { 0 } else { self.end_of_line(end).min(line) }
    }

    fn start_of_line(&self, at: usize) -> usize {
        self.body[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    fn end_of_line(&self, at: usize) -> usize {
        self.body[at..].find('\n').map_or(self.body.len(), |end| at + end + 1)
    }

    fn indent_at(&self, at: usize) -> &str {
        let line = &self.body[self.start_of_line(at)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }

    /// The indent of a line below a heading with this indent.
    fn below(&self, indent: &str) -> String {
        let steps = self.headings().into_iter().filter_map(|(path, span, _)| {
            let keys: Vec<&str> = path.iter().map(String::as_str).collect();
            let table = keys.iter().try_fold(self.root, |table, key| table.get(key)?.as_table())?;
            let line = self.indent_at(end_of(table)?);
            line.strip_prefix(self.indent_at(span.start)).map(str::to_owned)
        });
        format!("{indent}{}", steps.into_iter().next().unwrap_or_default())
    }
}

/// Where the last value ends that belongs to this table's own heading or braces.
fn end_of(table: &dyn TableLike) -> Option<usize> {
    let ends = table.iter().filter_map(|(_, item)| match item {
        Item::Value(Value::InlineTable(inner)) if inner.is_dotted() => end_of(inner),
        Item::Value(value) => value.span().map(|span| span.end),
        Item::Table(inner) if inner.is_dotted() => end_of(inner),
        Item::Table(_) | Item::ArrayOfTables(_) | Item::None => None,
    });
    ends.max()
}

fn quoted(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one `put` makes of `text`, and that nothing but the new lines is new.
    fn after(text: &str, keys: &[&str]) -> String {
        let after = put(text, keys, "/w").unwrap();
        let document = Document::parse(after.trim_start_matches(BOM)).unwrap();
        let found = keys.iter().try_fold(document.as_item(), |item, key| item.as_table_like()?.get(key));
        assert_eq!(found.and_then(Item::as_str), Some("/w"), "{after}");
        after
    }

    #[test]
    fn a_value_is_replaced_and_the_text_around_it_stays() {
        let text = "\u{feff}# a\r\n[a]\r\n\t# above\r\n\tb\t=  'old' # beside\r\n\tc = 1\r\n";
        assert_eq!(after(text, &["a", "b"]), text.replace("'old'", "\"/w\""));
        assert_eq!(after("a.b = 1\na.c = { d = 2 }", &["a", "c", "d"]), "a.b = 1\na.c = { d = \"/w\" }");
    }

    #[test]
    fn a_new_line_has_the_indent_of_the_others_below_its_heading() {
        let text = "[a]\r\n  b = 1 # one\r\n\r\n# of c\r\n[c]\r\n";
        assert_eq!(after(text, &["a", "d"]), text.replace("# one\r\n", "# one\r\n  d = \"/w\"\r\n"));
        assert_eq!(after(text, &["c", "d"]), format!("{text}  d = \"/w\"\r\n"));
        assert_eq!(after("[a]\nb = 1", &["a", "d"]), "[a]\nb = 1\nd = \"/w\"\n");
        assert_eq!(after("[a]\nb = 1\n", &["x"]), "x = \"/w\"\n[a]\nb = 1\n");
        assert_eq!(after("x = 1\n[a.\"b.c\"]\n", &["x2"]), "x = 1\nx2 = \"/w\"\n[a.\"b.c\"]\n");
    }

    #[test]
    fn a_heading_is_added_behind_its_family_and_before_the_next_ones_comments() {
        let text = "[p]\n  [p.a]\n    k = 1\n    # k2 = 2\n\n  # of b\n  [p.b]\n";
        let wanted = "    # k2 = 2\n\n  [p.a.o]\n    x = \"/w\"\n\n  # of b\n";
        assert_eq!(after(text, &["p", "a", "o", "x"]), text.replace("    # k2 = 2\n\n  # of b\n", wanted));
        let text = "[a]\nk = \"\"\"one\n# two\"\"\"\n# of c\n[c]\n";
        assert_eq!(after(text, &["a", "b", "x"]), text.replace("# of c\n", "\n[a.b]\nx = \"/w\"\n# of c\n"));
        assert_eq!(after("v = 1\n", &["a", "b.c", "x"]), "v = 1\n\n[a.\"b.c\"]\nx = \"/w\"\n");
        assert_eq!(after("", &["a", "x"]), "[a]\nx = \"/w\"\n");
    }

    #[test]
    fn dotted_keys_and_braces_get_one_more() {
        let text = "[a]\nb.c.d = 1 # d\ne = 2\n";
        assert_eq!(after(text, &["a", "b", "c", "x"]), "[a]\nb.c.d = 1 # d\nb.c.x = \"/w\"\ne = 2\n");
        assert_eq!(after(text, &["a", "b", "o", "x"]), "[a]\nb.c.d = 1 # d\nb.o.x = \"/w\"\ne = 2\n");
        assert_eq!(after("a = { b = 1 }\n", &["a", "o", "x"]), "a = { b = 1, o = { x = \"/w\" } }\n");
        assert_eq!(after("a = { o.y = 1 }\n", &["a", "o", "x"]), "a = { o.y = 1, o.x = \"/w\" }\n");
        assert_eq!(after("a = {}\n", &["a", "x"]), "a = { x = \"/w\" }\n");
        assert_eq!(after("a = { o = {} }\n", &["a", "o", "x"]), "a = { o = { x = \"/w\" } }\n");
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for text in ["a = 1\n", "[[a]]\n", "a = { b = 1 }\n", "[a\n"] {
            assert!(put(text, &["a", "b", "x"], "/w").is_err(), "{text}");
        }
    }
}
