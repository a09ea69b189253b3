//! HTTP/1.1 for programs on this machine alone: what the console and the figures have in common.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::fault::NodeError;

/// A request whose body has not been read.
pub type Asked = Request<Incoming>;

/// A reply. One that fails on its way is cut off.
pub type Reply = Response<UnsyncBoxBody<Bytes, NodeError>>;

/// The longest head of a request.
const HEAD_BYTES: usize = 16 << 10;
/// How long a connection may take to send a head, the first or the next one.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// Listens. Whoever calls has checked that the address is this machine's own.
///
/// # Errors
/// `PORT_IN_USE`, `CANNOT_BIND`.
pub async fn listen(what: &str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|e| {
        let code = if e.kind() == std::io::ErrorKind::AddrInUse { "PORT_IN_USE" } else { "CANNOT_BIND" };
        NodeError::new(code, format!("{what} at {address}: {e}"))
    })
}

/// Answers whoever asks, until it is dropped; at most so many connections at a time, the others wait.
pub async fn serve<R: Future<Output = Reply> + Send + 'static>(
    listener: TcpListener,
    connections: usize,
    answer: impl Fn(Asked) -> R + Clone + Send + 'static,
) {
    let room = Arc::new(Semaphore::new(connections));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptors are left, for a moment.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |asked| {
                let reply = answer(asked);
                async move { Ok::<_, Infallible>(reply.await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_BYTES);
            // Whoever breaks off does not hear why.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(permit);
        });
    }
}

/// A reply that is whole.
pub fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    reply
}

/// The name by which the caller knows this machine, with the port.
pub fn host(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(HOST).iter();
    match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}

/// A body without content.
pub fn nothing() -> UnsyncBoxBody<Bytes, NodeError> {
    Full::default().map_err(|never| match never {}).boxed_unsync()
}
