//! A web server on loopback whose clock is this machine's.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, UNIX_EPOCH};

use clockgate::sys::clock::realtime;

/// It answers until the test's process ends.
pub struct Web {
    listener: TcpListener,
}

impl Web {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let heard = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for mut socket in heard.incoming().map_while(Result::ok) {
                let since = Duration::from_secs(realtime().as_secs().unsigned_abs());
                let date = httpdate::fmt_http_date(UNIX_EPOCH + since);
                // Whoever goes away early is no matter of the server's.
                let _ = socket.read(&mut [0; 1024]);
                let _ = write!(socket, "HTTP/1.0 200 OK\r\nDate: {date}\r\n\r\n");
            }
        });
        Self { listener }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}
