//! Whether a text reports a message or only names it. A program begins a clause with its error: after a label, a quote, a code
//! or nothing. In what is written of it, it is inside a sentence, a title, a list or source: `retry on X` in a changelog.

/// Lists of words: a line has the name of its list and some of its words.
const WORDS: &str = include_str!("context.words");

/// A message, and what is on its line before and after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) before: &'a str,
    pub(super) message: &'a str,
    pub(super) after: &'a str,
}

/// How a text has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// A program says it.
    Report,
    /// It is only written of.
    Mention,
}

/// Whether it is reported there.
pub(super) fn wording(place: &Place<'_>) -> Wording {
    let is_named = is_source(place)
        || is_of_a_test(place)
        || is_of_a_list(place)
        || is_in_a_sentence(place.before)
        || is_spoken_of(place.after);
    if is_named { Wording::Mention } else { Wording::Report }
}

/// Its clause begins with other words, and none of them reports.
fn is_in_a_sentence(before: &str) -> bool {
    let path = before.trim_end_matches(|c: char| is_word(c) || c == '.' || c == ':');
    // `java.security.cert.`, `net::`
    let before = if before.ends_with('.') || before.ends_with("::") { path } else { before };
    match before.chars().next_back() {
        None => return false,
        Some(c) if c.is_whitespace() => {}
        Some(':') => return is_title(before),
        Some('[') => return is_of_a_name(before),
        Some(c) => return !"\"'({<>=|,;!".contains(c),
    }
    if before.trim_end().ends_with(':') {
        return is_title(before.trim_end());
    }
    let words = clause(before);
    let clause: Vec<&String> = words.iter().skip_while(|word| is_one_of("with-it", word)).collect();
    let (Some(last), Some(first)) = (clause.first(), clause.last()) else { return false };
    let is_code = last.chars().any(|c| c.is_numeric() || c == '_') || last.chars().skip(1).any(char::is_uppercase);
    let reports = clause.iter().any(|word| is_one_of("reports", word));
    // `npm error code`
    let is_of_a_program = clause.len() == 1 && words.iter().any(|word| is_one_of("levels", word));
    is_one_of("titles", first) || !(is_code || reports || is_of_a_program)
}

/// In the brackets of a name that is no error's: `test_retries[`.
fn is_of_a_name(before: &str) -> bool {
    let path = before.trim_end_matches('[');
    let name = &path[path.trim_end_matches(is_word).len()..];
    !name.is_empty() && !is_one_of("with-it", &name.to_lowercase())
}

/// A label that is the type of a change: `fix(tls)!:`.
fn is_title(before: &str) -> bool {
    let label = before.trim_end_matches([':', '!']).rsplit(char::is_whitespace).next().unwrap_or_default();
    let kind = label.trim_start_matches(['+', '-']).split('(').next().unwrap_or_default();
    is_one_of("titles", &kind.to_lowercase())
}

/// The words before it that nothing separates from it, the nearest first; in lower case, but for names in capitals.
fn clause(before: &str) -> Vec<String> {
    let mut words = vec![];
    for token in before.split_whitespace().rev().take(16) {
        let is_over = token.ends_with([':', ';', ',', '.', '!', '?', ')', ']', '}', '>', '"', '=', '|']);
        if is_over || !token.contains(is_word) {
            break;
        }
        let opens = token.rfind(['"', '(', '[', '{', '<', '=', '|', '`']);
        let word = token[opens.map_or(0, |at| at + 1)..].trim_start_matches('\'');
        let is_name = word.chars().skip(1).any(|c| c.is_uppercase() || c == '_');
        words.push(if is_name { word.to_owned() } else { word.to_lowercase() });
        if opens.is_some() {
            break;
        }
    }
    words
}

/// A noun or a verb after it makes it a part of a sentence: `X errors are retried`.
fn is_spoken_of(after: &str) -> bool {
    let mut words = after.strip_prefix(' ').unwrap_or_default().split_whitespace();
    let is_of_it = words.next().is_some_and(|word| is_one_of("of-it", word));
    let next = words.next().map(|word| word.trim_end_matches(|c| !is_word(c)));
    is_of_it && !next.is_some_and(|word| is_one_of("happened", word))
}

/// Names of errors side by side: `[RequestTimeTooSkewed, RequestExpired]`.
fn is_of_a_list(place: &Place<'_>) -> bool {
    let quotes = ['"', '\'', '`', ' '];
    let separators = [',', '|'];
    let before = place.before.trim_end_matches(quotes);
    let after = place.after.trim_start_matches(quotes);
    let previous = before.strip_suffix(separators).map(|rest| {
        let rest = rest.trim_end_matches(quotes);
        &rest[rest.trim_end_matches(is_word).len()..]
    });
    let next = after.strip_prefix(separators).map(|rest| {
        let rest = rest.trim_start_matches(quotes);
        let name = &rest[..rest.len() - rest.trim_start_matches(is_word).len()];
        // A key has a value.
        let is_key = rest[name.len()..].trim_start_matches(quotes).starts_with([':', '=']);
        if is_key { "" } else { name }
    });
    let is_element =
        (place.after.starts_with("\",") || place.after.starts_with("',")) && !place.before.contains(is_word);
    let is_beside = [previous, next].into_iter().flatten().any(is_name_of_an_error);
    place.message.chars().all(is_word) && (is_element || is_beside)
}

/// `RequestExpired`, `CERT_HAS_EXPIRED`.
fn is_name_of_an_error(word: &str) -> bool {
    let has_humps = word.starts_with(char::is_uppercase) && word.chars().skip(1).any(char::is_uppercase);
    has_humps && (word.contains('_') || word.chars().any(char::is_lowercase))
}

/// A line that says that a test has passed, or begins.
fn is_of_a_test(place: &Place<'_>) -> bool {
    const BEGINS: [&str; 9] = ["✓", "✔", "√", "PASS", "--- PASS", "=== RUN", "[ OK ]", "[ PASSED ]", "[PASS]"];
    const ENDS: [&str; 4] = ["... ok", "... PASS", " PASSED", "... passed"];
    // pytest has how much is done behind it.
    let end = place.after.trim_end_matches(|c: char| c.is_ascii_digit() || " []%".contains(c));
    let begin = place.before.trim_start();
    let is_tap = begin.strip_prefix("ok ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    is_tap || BEGINS.iter().any(|mark| begin.starts_with(mark)) || ENDS.iter().any(|mark| end.ends_with(mark))
}

/// A line of source code or a comment in it.
fn is_source(place: &Place<'_>) -> bool {
    let Place { before, message, after } = *place;
    // A listing has numbers and marks of changes before its lines.
    let line = before.trim_start_matches(|c: char| c.is_ascii_digit() || " |:>+-".contains(c));
    let is_comment = ["//", "/*", "# ", "<!--"].iter().any(|sign| line.starts_with(sign));
    let line = line.trim_start_matches(['}', ' ']);
    let is_condition = ["if (", "else if (", "while (", "switch ("].iter().any(|begin| line.starts_with(begin));
    if is_comment || is_condition || [" // ", " # ", " := "].iter().any(|sign| before.contains(sign)) {
        return true;
    }
    let first = line.split(|c: char| !is_word(c) && c != '#').next().unwrap_or_default();
    let Some(outside) = without_its_words(before).strip_suffix(['"', '\'']) else {
        let is_used = after.starts_with(['(', ';']) || after.starts_with(" = ") || after.starts_with(" {");
        return message.chars().all(is_word) && is_used;
    };
    const OPERATORS: [&str; 6] = [" in ", " not in ", " == ", " != ", " => ", " -> "];
    let is_compared = after.get(1..).is_some_and(|rest| OPERATORS.iter().any(|operator| rest.starts_with(operator)));
    is_one_of("keywords", first) || is_compared || is_operand(outside) || is_argument(outside)
}

/// Without the words that belong to the message: `"The `.
fn without_its_words(before: &str) -> &str {
    let text = before.trim_end();
    let rest = text.trim_end_matches(|c| is_word(c) || c == '\'');
    let word = text[rest.len()..].trim_start_matches('\'').to_lowercase();
    let quote = if text[rest.len()..].starts_with('\'') { 1 } else { 0 };
    if is_one_of("with-it", &word) { without_its_words(&text[..rest.len() + quote]) } else { before }
}

/// After ` = `, `== `, perhaps first in a list.
fn is_operand(outside: &str) -> bool {
    let outside = outside.trim_end_matches(['{', '[', '(', '&', ' ']);
    ["==", "!=", " =", "=>"].iter().any(|operator| outside.ends_with(operator))
}

/// Inside the brackets of a function: `errors.New("...")`; names of errors are printed with such brackets too.
fn is_argument(outside: &str) -> bool {
    let Some(called) = outside.strip_suffix('(') else { return false };
    let path = &called[called.trim_end_matches(|c| is_word(c) || c == '.' || c == ':' || c == '!').len()..];
    let name = path.rsplit(['.', ':']).next().unwrap_or_default();
    let is_error = name.ends_with("Error") || name.ends_with("Exception") || name.ends_with("Err");
    name.starts_with(char::is_lowercase) || name.ends_with('!') || (path.contains('.') && !name.is_empty() && !is_error)
}

fn is_one_of(list: &str, word: &str) -> bool {
    let lines = WORDS.lines().filter_map(|line| line.strip_prefix(list)?.strip_prefix(": "));
    lines.flat_map(|words| words.split(' ')).any(|one| one == word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message is between the marks.
    fn of(line: &str) -> Wording {
        let (before, rest) = line.split_once('«').unwrap();
        let (message, after) = rest.split_once('»').unwrap();
        wording(&Place { before, message, after })
    }

    #[test]
    fn a_report_begins_a_clause() {
        for line in [
            "«certificate is not yet valid»",
            "curl: (60) SSL certificate problem: «certificate is not yet valid»",
            "* SSL certificate problem: «certificate is not yet valid»",
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: «certificate is not yet valid» (_ssl.c:992)",
            "requests.exceptions.SSLError: (Caused by SSLError(SSLCertVerificationError(1, '«certificate is not yet valid»",
            "SSLError(\"«certificate is not yet valid»\")",
            "ERROR the server's «certificate is not yet valid»",
            "upload failed with «RequestTimeTooSkewed»",
            "npm error code «CERT_NOT_YET_VALID»",
            "npm ERR! code «CERT_NOT_YET_VALID»",
            "Warning: S3::getBucket(): [«RequestTimeTooSkewed»] The difference",
            "AWS HTTP error: Client error: 403 «RequestTimeTooSkewed» (client): The difference",
            "An error occurred («RequestTimeTooSkewed») when calling the ListObjects operation: The difference",
            "{\"Code\":\"«RequestTimeTooSkewed»\",\"RequestId\":\"1\"}",
            "  code: '«CERT_NOT_YET_VALID»',",
            "<Code>«RequestTimeTooSkewed»</Code>",
            "ErrorCode=«RequestTimeTooSkewed», ErrorMessage=The difference",
            "warning «RequestTimeTooSkewed» - The difference",
            "rpc error: code = Unauthenticated desc = «token is not valid yet»",
            "net::«ERR_CERT_DATE_INVALID» at https://x",
            "Caused by: java.security.cert.«CertificateNotYetValidException»: NotBefore: x",
            "KRB Error: (37) KRB_AP_ERR_SKEW «Clock skew too great»",
            "kinit: «Clock skew too great» while getting initial credentials",
            "Err(Error(«ImmatureSignature»))",
            "time=x level=error msg=\"request failed with «RequestTimeTooSkewed»\"",
            "A «RequestTimeTooSkewed» error occurred",
            "FAILED tests/a.py::test - jwt.exceptions.ImmatureSignatureError: «The token is not yet valid (iat)»",
        ] {
            assert_eq!(of(line), Wording::Report, "{line}");
        }
    }

    #[test]
    fn what_is_written_of_it_is_inside_a_sentence_a_title_a_list_or_source() {
        for line in [
            "- Added retry for «RequestTimeTooSkewed» (#812)",
            "fix: handle «certificate is not yet valid» error",
            "a1b2c3d fix(tls): «certificate is not yet valid» on boards without a battery",
            "* «RequestTimeTooSkewed» is retried with the server's time",
            "* «RequestTimeTooSkewed» errors are retried",
            "retry on error «RequestTimeTooSkewed»",
            "on error «RequestTimeTooSkewed» the clock is asked for",
            "Fix uploads that failed with «RequestTimeTooSkewed»",
            "TASK [ignore a «certificate is not yet valid» here]",
            "✓ «jwt not active» (3 ms)",
            "ok 12 - «certificate is not yet valid»",
            "TlsTest > «certificate is not yet valid» PASSED",
            "retryable errors: «RequestTimeTooSkewed», RequestExpired, SlowDown",
            "\"SlowDown\", \"«RequestTimeTooSkewed»\"]",
            "      + \"«RequestTimeTooSkewed»\",",
            "+docs: «Clock skew too great» and what to do",
            "    if (err.code === '«RequestTimeTooSkewed»') {",
            "  12 |     case \"«RequestTimeTooSkewed»\":",
            "+    return errors.New(\"«token is not valid yet»\")",
            "    raise ImmatureSignatureError(\"«The token is not yet valid (iat)»\")",
            "    message = \"«certificate is not yet valid»\"",
            "RETRYABLE = {\"«RequestTimeTooSkewed»\"}",
            "if \"«RequestTimeTooSkewed»\" in str(error):",
            "        // «RequestTimeTooSkewed» comes from S3",
            "test_s3.py::test_retries[«RequestTimeTooSkewed»] FAILED",
            "See `«RequestTimeTooSkewed»` below",
            "handle-«RequestTimeTooSkewed»",
        ] {
            assert_eq!(of(line), Wording::Mention, "{line}");
        }
    }
}
