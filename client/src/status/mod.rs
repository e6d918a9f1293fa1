//! Asks a host for its metrics, and reads what they say of host and enclave.
//!
//! Promises
//! - The answer is bounded in size and time, and read strictly ([`page`]): no byte of it reaches a terminal that
//!   is not a number or a plain word.
//!
//! Does not: verify anything. The host says what it likes; evidence, receipts and the audit log are for those who
//! do not trust it.

pub mod page;
pub mod view;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use page::{Page, PageError};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use view::{Incomplete, View};

/// Where a host serves metrics if nothing else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9464/metrics";
/// How long a host may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `http://HOST:PORT/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        let wrong = || "expected http://HOST:PORT/metrics".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") || authority.host().is_empty() {
            return Err(wrong());
        }
        let path = uri.path_and_query().map(|path| path.as_str()).filter(|path| *path != "/");
        Ok(Url {
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: path.unwrap_or("/metrics").to_owned(),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Why there is nothing to show.
#[derive(Debug, Error)]
pub enum StatusError {
    /// Nobody answers.
    #[error("nothing answers at {url}: {source}")]
    Unreachable {
        /// Where.
        url: Url,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody answers, and not in HTTP.
    #[error("{url} broke off: {source}")]
    Broken {
        /// Where.
        url: Url,
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another answer than the page.
    #[error("{url} answers {status}")]
    Refused {
        /// Where.
        url: Url,
        /// What it answers.
        status: StatusCode,
    },
    /// Too much was sent, or too slowly.
    #[error("{url} does not answer within {} s", TIMEOUT.as_secs())]
    Slow {
        /// Where.
        url: Url,
    },
    /// It is no page of metrics.
    #[error("what {url} answers is no page of metrics: {source}")]
    Page {
        /// Where.
        url: Url,
        /// What is wrong with it.
        source: PageError,
    },
    /// It is one of another program.
    #[error("what {url} answers is not of an Adyton host: {source}")]
    Other {
        /// Where.
        url: Url,
        /// What is missing.
        source: Incomplete,
    },
}

/// Asks once.
///
/// # Errors
/// [`StatusError`]
pub async fn ask(url: &Url) -> Result<View, StatusError> {
    let asked = tokio::time::timeout(TIMEOUT, fetch(url)).await;
    let text = asked.map_err(|_| StatusError::Slow { url: url.clone() })??;
    let page = Page::parse(&text).map_err(|source| StatusError::Page { url: url.clone(), source })?;
    View::of(&page).map_err(|source| StatusError::Other { url: url.clone(), source })
}

async fn fetch(url: &Url) -> Result<String, StatusError> {
    let broken =
        |source: Box<dyn std::error::Error + Send + Sync>| StatusError::Broken { url: url.clone(), source };
    let stream = TcpStream::connect((url.host.as_str(), url.port));
    let stream = stream.await.map_err(|source| StatusError::Unreachable { url: url.clone(), source })?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| broken(e.into()))?;
    let request = Request::get(&url.path).header(HOST, &url.authority).body(Empty::<Bytes>::new());
    let request = request.map_err(|e| broken(e.into()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| broken(e.into()))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(StatusError::Refused { url: url.clone(), status });
        }
        let body = Limited::new(response.into_body(), page::MAX_PAGE).collect().await.map_err(broken)?;
        String::from_utf8(body.to_bytes().into()).map_err(|e| broken(e.into()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answered = &mut exchange => answered,
        // The connection may end first: what it brought is still to be read.
        _ = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn urls_are_read_strictly() {
        let url: Url = "http://127.0.0.1:9464".parse().unwrap();
        assert_eq!(url, DEFAULT_URL.parse().unwrap());
        assert_eq!((url.host.as_str(), url.port, url.to_string().as_str()), ("127.0.0.1", 9464, DEFAULT_URL));
        let six: Url = "http://[::1]:1/m?x=y".parse().unwrap();
        assert_eq!((six.host.as_str(), six.path.as_str()), ("::1", "/m?x=y"));
        for bad in
            ["", "127.0.0.1:9464", "https://x:1/metrics", "http://", "http://a@b:1/", "http:// x", "/metrics"]
        {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    /// Answers one request with these bytes.
    async fn host(answer: Vec<u8>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        });
        url
    }

    #[tokio::test]
    async fn what_is_no_page_is_told_by_its_kind() {
        let ok = |body: &str| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'a'; 2 * page::MAX_PAGE]].concat();
        let gone: Url = "http://127.0.0.1:1/metrics".parse().unwrap();
        assert!(matches!(ask(&gone).await, Err(StatusError::Unreachable { .. })));
        assert!(matches!(ask(&host(b"SSH-2.0-x\r\n".to_vec()).await).await, Err(StatusError::Broken { .. })));
        assert!(matches!(ask(&host(endless).await).await, Err(StatusError::Broken { .. })));
        let absent = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
        assert!(matches!(ask(&host(absent).await).await, Err(StatusError::Refused { .. })));
        assert!(matches!(ask(&host(ok("<html>\n")).await).await, Err(StatusError::Page { .. })));
        let other = ok("# TYPE go_threads gauge\ngo_threads 7\n");
        assert!(matches!(ask(&host(other).await).await, Err(StatusError::Other { .. })));
    }
}
