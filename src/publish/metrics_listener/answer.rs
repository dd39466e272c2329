//! One request and its answer (RFC 9112); the connection is closed behind it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::metrics::MetricsFormat;
use crate::page::{Agent, Gate};
use crate::publish::metrics_reader::MetricsReader;

/// Far more than a scraper's request has.
const REQUEST_MAX: usize = 8192;
const HEADERS_MAX: usize = 64;
const TEXT: &str = "text/plain; charset=utf-8";

/// What is asked for.
struct ScrapeRequest {
    method: String,
    path: String,
    accept: String,
}

struct HttpAnswer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

pub(super) async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    reader: &MetricsReader,
) -> io::Result<()> {
    let request = read(stream).await?;
    let is_head = request.as_ref().is_some_and(|request| request.method == "HEAD");
    let HttpAnswer { status, content_type, body } = match request {
        Some(request) => answer_to(&request, reader),
        None => plain("400 Bad Request", "this is not an HTTP request".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if is_head { Ok(()) } else { stream.write_all(body.as_bytes()).await }
}

/// The head of a request; none where it is not one.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<ScrapeRequest>> {
    let mut bytes = vec![0; REQUEST_MAX];
    let mut filled = 0;
    while filled < REQUEST_MAX {
        let count = stream.read(&mut bytes[filled..]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += count;
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&bytes[..filled]) {
            Ok(httparse::Status::Complete(_)) => return Ok(Some(ScrapeRequest::of(&parsed))),
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

impl ScrapeRequest {
    fn of(parsed: &httparse::Request<'_, '_>) -> Self {
        let target = parsed.path.unwrap_or_default();
        // A list may be sent as several fields (RFC 9110 section 5.3).
        let accept = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
        Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: target.split('?').next().unwrap_or_default().to_owned(),
            accept: accept.map(|header| String::from_utf8_lossy(header.value)).collect::<Vec<_>>().join(","),
        }
    }
}

fn answer_to(request: &ScrapeRequest, reader: &MetricsReader) -> HttpAnswer {
    if !["GET", "HEAD"].contains(&request.method.as_str()) {
        return plain("405 Method Not Allowed", "only GET and HEAD are answered".to_owned());
    }
    match request.path.as_str() {
        "/metrics" => metrics(MetricsFormat::accepted(&request.accept), reader),
        "/readyz" => ready(reader),
        "/livez" => alive(reader),
        _ => plain("404 Not Found", "there are /metrics, /readyz and /livez".to_owned()),
    }
}

fn metrics(format: MetricsFormat, reader: &MetricsReader) -> HttpAnswer {
    match reader.answer(format) {
        Ok(body) => HttpAnswer { status: "200 OK", content_type: format.content_type(), body },
        Err(error) => no_page(&error),
    }
}

/// 200 only while the gate is open on a proof.
fn ready(reader: &MetricsReader) -> HttpAnswer {
    match reader.view() {
        Err(error) => no_page(&error),
        Ok(view) => match view.gate {
            Gate::Proven => plain("200 OK", format!("open: proven for {} s more", view.valid_for().as_secs())),
            Gate::Unproven | Gate::Shut => plain("503 Service Unavailable", format!("{}: {}", view.gate, view.why)),
        },
    }
}

/// 200 as long as the event loop says in time that it lives.
fn alive(reader: &MetricsReader) -> HttpAnswer {
    match reader.view() {
        Err(error) => no_page(&error),
        Ok(view) => match view.agent {
            Agent::Alive | Agent::Starting => plain("200 OK", "alive".to_owned()),
            Agent::Ended { .. } | Agent::Silent { .. } | Agent::PageGone => {
                plain("503 Service Unavailable", view.absence().unwrap_or_default())
            }
        },
    }
}

fn no_page(error: &crate::page::Error) -> HttpAnswer {
    plain("503 Service Unavailable", format!("cannot read the gate page: {error}"))
}

fn plain(status: &'static str, line: String) -> HttpAnswer {
    HttpAnswer { status, content_type: TEXT, body: line + "\n" }
}
