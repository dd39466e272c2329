//! The head of a reply: parsed to a whole value first, judged afterwards. Nothing of it is believed that a cache or a portal on the way
//! can have answered, and no byte of it is printed unescaped.

use super::url::HttpUrl;

/// The longest head that is read, in bytes; servers themselves stop at 8 to 16 KiB.
pub const LONGEST_HEAD: usize = 32 * 1024;
/// The most fields of one head.
const MOST_FIELDS: usize = 128;
/// What is repeated of a field at most.
const LONGEST_QUOTE: usize = 60;

/// The fields of a head that say whether its date is the server's own, and of now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Every `Date`, seconds since 1970; none in place of one that is no date.
    pub dates: Vec<Option<i64>>,
    /// `Age`, as it was sent (RFC 9111 section 5.1).
    pub age: Option<String>,
    /// `Via`, as it was sent (RFC 9110 section 7.6.3).
    pub via: Option<String>,
    /// A field by which a cache says that it answered by itself.
    pub hit: Option<String>,
    /// `Location`, as it was sent.
    pub location: Option<String>,
    /// Whether the connection ends with this reply.
    pub closes: bool,
}

/// Why a reply says nothing of the time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It is no HTTP.
    #[error("the reply is not HTTP: {0}")]
    NotHttp(httparse::Error),
    /// Its head does not end.
    #[error("the head of the reply is larger than {} KiB", LONGEST_HEAD / 1024)]
    Huge,
    /// It switches to another protocol, though that was not requested.
    #[error("status 101 to a question that asked for no other protocol")]
    Switching,
    /// A proxy, gateway or portal says that it could not do it.
    #[error("status {0}: a proxy or gateway answered in the server's place")]
    Gateway(u16),
    /// 511 (RFC 6585 section 6).
    #[error("status 511: a captive portal wants a login before it lets this host out")]
    Portal,
    /// Content where there is none.
    #[error("status {0} where 204 is due: a captive portal answered in the server's place")]
    Content(u16),
    /// Elsewhere.
    #[error(
        "it redirects to another host, `{0}`: a captive portal, or a name that has moved; name the other host if you know it"
    )]
    Redirect(String),
    /// A cache.
    #[error("a cache answered (Age: {0}): its Date is old")]
    Age(String),
    /// A cache.
    #[error("a cache answered ({0}): its Date may be old")]
    Hit(String),
    /// A proxy.
    #[error("a proxy is on the way (Via: {0}): the Date may be its own, or old")]
    Via(String),
    /// No date.
    #[error("the reply has no Date")]
    NoDate,
    /// Several.
    #[error("the reply has several Date fields")]
    SeveralDates,
    /// It cannot be parsed.
    #[error("the Date of the reply is not one (RFC 9110 section 5.6.7)")]
    BadDate,
}

/// Parses a head; none where more has to be read. Says how long it is, too.
///
/// # Errors
/// [`ReplyError::NotHttp`], [`ReplyError::Huge`].
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, ReplyError> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(ReplyError::Huge),
        Err(error) => return Err(ReplyError::NotHttp(error)),
    };
    let mut head = Head {
        status: response.code.unwrap_or_default(),
        // Before HTTP/1.1 a connection carries one reply.
        closes: response.version != Some(1),
        ..Head::default()
    };
    for field in response.headers.iter() {
        head.note(field.name, field.value);
    }
    Ok(Some((head, length)))
}

impl Head {
    fn note(&mut self, name: &str, value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let lower = value.to_ascii_lowercase();
        let says = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
        if is("date") {
            self.dates.push(date(value));
        } else if is("age") {
            self.age.get_or_insert_with(|| quote(value));
        } else if is("via") {
            self.via.get_or_insert_with(|| quote(value));
        } else if is("location") {
            self.location = Some(String::from_utf8_lossy(value).into_owned());
        } else if is("connection") {
            self.closes |= says(b"close");
        } else if is_of_a_cache(name) && says(b"hit") {
            self.hit.get_or_insert_with(|| format!("{}: {}", name.escape_debug(), quote(value)));
        }
    }

    /// Whether another head follows this one (RFC 9110 section 15.2).
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status >= 100 && self.status < 200 && self.status != 101
    }

    /// The second that it names, if it is the server's own and of now.
    ///
    /// # Errors
    /// [`ReplyError`], which says what speaks against it.
    pub fn judge(&self, url: &HttpUrl) -> Result<i64, ReplyError> {
        match self.status {
            101 => return Err(ReplyError::Switching),
            511 => return Err(ReplyError::Portal),
            // They are made by a proxy that could not reach the server (RFC 9110 section 15.6.3 and on), or requires a login first.
            407 | 502..=504 | 520..=530 => return Err(ReplyError::Gateway(self.status)),
            300..=399 if self.leads_elsewhere(url) => {
                return Err(ReplyError::Redirect(quote(self.location.as_deref().unwrap_or_default().as_bytes())));
            }
            // A portal answers a question for nothing with something.
            status if status != 204 && url.expects_no_content() => return Err(ReplyError::Content(status)),
            _ => {}
        }
        if let Some(age) = &self.age {
            return Err(ReplyError::Age(age.clone()));
        }
        if let Some(hit) = &self.hit {
            return Err(ReplyError::Hit(hit.clone()));
        }
        if let Some(via) = &self.via {
            return Err(ReplyError::Via(via.clone()));
        }
        match self.dates.as_slice() {
            [] => Err(ReplyError::NoDate),
            [Some(date)] => Ok(*date),
            [None] => Err(ReplyError::BadDate),
            [_, _, ..] => Err(ReplyError::SeveralDates),
        }
    }

    /// Whether `Location` names another host; a path alone, and the same host by another scheme, do not.
    fn leads_elsewhere(&self, url: &HttpUrl) -> bool {
        let Some(location) = &self.location else { return false };
        let location = location.trim();
        let rest = match location.split_once("//") {
            // `//host/path` keeps the scheme; `/path//x` is a path.
            Some((before, rest)) if before.is_empty() || before.ends_with(':') => rest,
            Some(_) | None => return false,
        };
        let text = format!("https://{rest}");
        // What cannot be read is nowhere that we asked.
        text.parse::<HttpUrl>().map_or(true, |other| !other.server.host().eq_ignore_ascii_case(url.server.host()))
    }
}

/// Fields by which caches of content networks say that they answered by themselves (`Cache-Status` is RFC 9211's).
fn is_of_a_cache(name: &str) -> bool {
    [
        "x-cache",
        "x-cache-lookup",
        "x-proxy-cache",
        "cache-status",
        "cf-cache-status",
        "x-drupal-cache",
        "x-varnish-cache",
    ]
    .iter()
    .any(|known| name.eq_ignore_ascii_case(known))
}

fn date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// The beginning of what a stranger sent, as it may be printed.
fn quote(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(LONGEST_QUOTE).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DATE: &str = "Date: Fri, 15 Jan 2027 12:00:00 GMT\r\n";
    const NOON: i64 = 1_800_014_400;

    fn judged(url: &str, head: &str) -> Result<i64, ReplyError> {
        let (head, _) = parse(head.as_bytes())?.unwrap();
        head.judge(&url.parse().unwrap())
    }

    fn refused(url: &str, lines: &str) -> String {
        judged(url, &format!("{lines}{DATE}\r\n")).map_err(|e| e.to_string()).unwrap_err()
    }

    #[test]
    fn a_servers_own_date_is_taken_whatever_it_thinks_of_the_question() {
        for status in
            ["200 OK", "204 No Content", "301 Moved", "400 Bad", "403 Forbidden", "404 No", "405 No", "500 Oops"]
        {
            let head = format!("HTTP/1.1 {status}\r\n{DATE}\r\n");
            assert_eq!(judged("https://a.example", &head), Ok(NOON), "{status}");
        }
        for date in ["Friday, 15-Jan-27 12:00:00 GMT", "Fri Jan 15 12:00:00 2027"] {
            let head = format!("HTTP/1.1 200 OK\r\nDATE: {date}\r\n\r\n");
            assert_eq!(judged("https://a.example", &head), Ok(NOON), "{date}");
        }
    }

    #[test]
    fn caches_proxies_and_portals_are_refused_with_words() {
        let https = "https://a.example";
        for (url, lines, words) in [
            (https, "HTTP/1.1 200 OK\r\nAge: 17\r\n", "Age: 17"),
            (https, "HTTP/1.1 200 OK\r\nAge: 0\r\n", "cache"),
            (https, "HTTP/1.1 200 OK\r\nVia: 1.1 proxy\u{1b}[2J\r\n", "not HTTP"),
            (https, "HTTP/1.1 200 OK\r\nVia: 1.1 squid\r\n", "Via: 1.1 squid"),
            (https, "HTTP/1.1 200 OK\r\nX-Cache: HIT from edge\r\n", "X-Cache: HIT"),
            (https, "HTTP/1.1 200 OK\r\nCache-Status: edge; hit; ttl=3\r\n", "cache"),
            (
                https,
                "HTTP/1.1 302 Found\r\nLocation: https://login.hotel.example/?u=a.example\r\n",
                "login.hotel.example",
            ),
            (https, "HTTP/1.1 302 Found\r\nLocation: //login.hotel.example/\r\n", "another host"),
            (https, "HTTP/1.1 302 Found\r\nLocation: http://a.example@evil.example/\r\n", "another host"),
            ("http://a.example/generate_204", "HTTP/1.1 200 OK\r\n", "captive portal"),
            ("http://a.example", "HTTP/1.1 511 Network Authentication Required\r\n", "captive portal"),
            (https, "HTTP/1.1 502 Bad Gateway\r\n", "gateway"),
            (https, "HTTP/1.1 407 Proxy Authentication Required\r\n", "proxy"),
            (https, "HTTP/1.1 101 Switching Protocols\r\n", "101"),
            (https, "SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
            (https, "HTTP/1.1 200 OK\r\nDate: Fri, 15 Jan 2027 12:00:01 GMT\r\n", "several"),
        ] {
            let said = refused(url, lines);
            assert!(said.contains(words), "{lines:?}: {said}");
        }
        for (head, words) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "no Date"),
            ("HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n", "is not one"),
            ("HTTP/1.1 200 OK\r\nDate: Fri, 32 Jan 2027 12:00:00 GMT\r\n\r\n", "is not one"),
        ] {
            let said = judged(https, head).unwrap_err().to_string();
            assert!(said.contains(words), "{head:?}: {said}");
        }
    }

    #[test]
    fn a_redirect_within_the_same_host_is_the_servers_own_answer() {
        for location in ["/login", "https://a.example/", "http://A.EXAMPLE:8080/x", "elsewhere//x"] {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n{DATE}\r\n");
            assert_eq!(judged("https://a.example", &head), Ok(NOON), "{location}");
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_given_up() {
        let mut bytes = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        assert_eq!(parse(&bytes), Ok(None));
        bytes.resize(LONGEST_HEAD, b'x');
        assert_eq!(parse(&bytes), Err(ReplyError::Huge));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS + 1));
        assert_eq!(parse(many.as_bytes()), Err(ReplyError::Huge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_an_error_and_no_escape_is_printed(bytes in proptest::collection::vec(any::<u8>(), 0..200), value in "\\PC{0,80}|[\\x01-\\x7f]{0,40}") {
            let _ = parse(&bytes);
            let url: HttpUrl = "https://a.example".parse().unwrap();
            let head = format!("HTTP/1.1 302 Found\r\nLocation: //{value}\r\nVia: {value}\r\n\r\n");
            if let Ok(Some((head, _))) = parse(head.as_bytes()) {
                let said = head.judge(&url).unwrap_err().to_string();
                prop_assert!(!said.contains(|c: char| c.is_control()), "{said:?}");
            }
        }
    }
}
