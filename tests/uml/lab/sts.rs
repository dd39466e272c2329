//! A server of the world that judges the date of a signed request, and the end of its token, as AWS' STS does and with its words.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use clockgate::decision::{Offset, Realtime, forward};
use clockgate::sys::clock::realtime;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Outcome;

/// What STS tolerates, by its own message.
const TOLERATED: Duration = Duration::from_secs(15 * 60);
/// As in `X-Amz-Date` and in the messages.
const BASIC: &str = "%Y%m%dT%H%M%SZ";
/// Behind this, a session's token has the second at which it ends.
pub const TOKEN: &str = "ends-";

/// Starts it with this identity, until the program ends; its port.
pub fn start(address: Ipv4Addr, identity: Arc<ServerConfig>) -> Outcome<u16> {
    let listener = TcpListener::bind(SocketAddr::from((address, 0)))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let Ok(connection) = ServerConnection::new(Arc::clone(&identity)) else { return };
            // A client that does not like our certificate hangs up.
            std::thread::spawn(move || drop(serve(StreamOwned::new(connection, socket))));
        }
    });
    Ok(port)
}

/// Answers one request.
fn serve(stream: impl Read + Write) -> Outcome {
    let mut stream = BufReader::new(stream);
    let mut fields = vec![];
    for line in stream.by_ref().lines() {
        match line?.split_once(": ") {
            Some((name, value)) => fields.push((name.to_ascii_lowercase(), value.to_owned())),
            None if fields.is_empty() => {}
            None => break,
        }
    }
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let length = field("content-length").parse().unwrap_or(0);
    std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink())?;
    let now = realtime();
    let answer = match refusal(field("x-amz-date"), field("x-amz-security-token"), now) {
        Some((code, why)) => ("403 Forbidden", error(code, &why)),
        None => ("200 OK", IDENTITY.to_owned()),
    };
    let (status, body) = answer;
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(now.as_secs().unsigned_abs()));
    write!(
        stream.get_mut(),
        "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(stream.get_mut().flush()?)
}

/// The code and the message; STS says so by this code, whatever its name promises.
fn refusal(signed: &str, token: &str, now: Realtime) -> Option<(&'static str, String)> {
    const CODE: &str = "SignatureDoesNotMatch";
    let Some(at) = read(signed) else {
        return Some(("MissingAuthenticationToken", "Request is missing Authentication Token".to_owned()));
    };
    let minutes = TOLERATED.as_secs() / 60;
    let (earliest, latest) = (now + -forward(TOLERATED), now + forward(TOLERATED));
    if at < earliest {
        let (edge, now) = (basic(earliest), basic(now));
        let why = format!("Signature expired: {signed} is now earlier than {edge} ({now} - {minutes} min.)");
        return Some((CODE, why));
    }
    if at > latest {
        let (edge, now) = (basic(latest), basic(now));
        let why = format!("Signature not yet current: {signed} is still later than {edge} ({now} + {minutes} min.)");
        return Some((CODE, why));
    }
    let ends = token.strip_prefix(TOKEN).and_then(|secs| secs.parse().ok()).map(Realtime::from_secs)?;
    let is_over = (ends - now) < Offset::ZERO;
    is_over.then(|| ("ExpiredToken", "The security token included in the request is expired".to_owned()))
}

fn read(text: &str) -> Option<Realtime> {
    let at = DateTime::strptime(BASIC, text).ok()?;
    Some(Realtime::from_secs(TimeZone::UTC.to_timestamp(at).ok()?.as_second()))
}

fn basic(at: Realtime) -> String {
    Timestamp::from_second(at.as_secs()).unwrap_or_default().strftime(BASIC).to_string()
}

fn error(code: &str, why: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>Sender</Type>\n    \
         <Code>{code}</Code>\n    <Message>{why}</Message>\n  </Error>\n  \
         <RequestId>4e1ac5ab-dc4b-4d5a-a5b5-7a2b0a0c0f3e</RequestId>\n</ErrorResponse>\n"
    )
}

const IDENTITY: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
    <GetCallerIdentityResult>\n    <Arn>arn:aws:iam::123456789012:user/ada</Arn>\n    <UserId>AIDACKCEVSQ6C2EXAMPLE</UserId>\n    \
    <Account>123456789012</Account>\n  </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n";
