//! What every request passes: where it comes from, who asks, how long it is.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use query_planner::Language;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};
use zeroize::{Zeroize, Zeroizing};

use super::refused::Refused;
use super::sessions::Session;
use super::tokens::Holder;
use super::{Console, Visit, blocking, done, files};
use crate::fault::NodeError;
use crate::http::{self, Asked, Reply};

/// The longest body of a request.
const BODY_BYTES: usize = 256 << 10;
/// How long a body may take to come.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// What a wrong token costs.
const WRONG_TOKEN: Duration = Duration::from_secs(1);

/// The port that browsers leave out.
const HTTP: u16 = 80;
const CSRF: &str = "x-consilium-csrf";

/// On every reply. Nothing from elsewhere, nothing inline, in no frame.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

impl Drop for Login {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl Console {
    /// The reply to a request, whatever it is.
    pub(super) async fn answer(self: &std::sync::Arc<Self>, asked: Asked) -> Reply {
        let mut reply = self.admitted(asked).await.unwrap_or_else(|refused| refused.reply());
        let headers = reply.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        reply
    }

    async fn admitted(self: &std::sync::Arc<Self>, asked: Asked) -> Result<Reply, Refused> {
        self.is_of_this_page(asked.headers())?;
        let path = asked.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/api/") else {
            let file = (asked.method() == Method::GET).then(|| files::file(&path, asked.headers())).flatten();
            return file.ok_or_else(|| Refused::new("NO_SUCH_PATH", "there is nothing here"));
        };
        if (asked.method(), path) == (&Method::POST, "login") {
            return self.login(body(asked).await?).await;
        }
        let cookie = cookie(asked.headers(), &self.cookie()).unwrap_or_default().to_owned();
        let session = self.session(&cookie).await?;
        if asked.method() != Method::GET {
            let sent = asked.headers().get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
            // Both as hashes: how long the comparison takes says nothing of the token.
            if hashed(sent) != hashed(session.csrf.as_bytes()) {
                return Err(Refused::new("WRONG_CSRF", "the header X-Consilium-CSRF is missing or old"));
            }
        }
        let (from, study) = query(asked.uri().query().unwrap_or_default());
        let visit = Visit { session, cookie, language: language(asked.headers()), from, study };
        self.routed(path, visit, asked).await
    }

    /// A page that came by another name of this machine, or from elsewhere, asks nothing: DNS can be made to point here.
    fn is_of_this_page(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let refused = || Refused::new("WRONG_ORIGIN", "the request is not from this console's own pages");
        let port = self.address.port();
        let own_name = match self.address.ip() {
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), "[::1]".to_owned(), own_name];
        let mut own: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        if port == HTTP {
            own.extend(names);
        }
        let host = http::host(headers).filter(|host| own.iter().any(|own| own == host)).ok_or_else(refused)?;
        let mut origins = headers.get_all(ORIGIN).iter();
        let page = format!("http://{host}");
        if origins.any(|origin| origin.as_bytes() != page.as_bytes()) {
            return Err(refused());
        }
        // Browsers say so even where they send no Origin.
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        match site {
            None | Some(b"same-origin" | b"none") => Ok(()),
            // A link from elsewhere may open the page itself; what it then asks is its own.
            Some(_) if headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate") => Ok(()),
            Some(_) => Err(refused()),
        }
    }

    /// Consoles of several nodes on one machine have a cookie each: browsers do not tell ports apart.
    fn cookie(&self) -> String {
        format!("consilium_{}", self.address.port())
    }

    /// A right token is never kept waiting by wrong ones; a wrong one costs a second, and few are waited for at a time.
    async fn login(&self, login: Login) -> Result<Reply, Refused> {
        let (tokens, token) = (self.tokens.clone(), Zeroizing::new(login.token.clone()));
        let holder = blocking(move || tokens.holder(&token)).await?;
        let Some(holder) = holder else {
            let too_many = |_| Refused::new("TOO_MANY_TRIES", "too many wrong tokens at once");
            let _trying = self.trying.try_acquire().map_err(too_many)?;
            sleep(WRONG_TOKEN).await;
            return Err(Refused::new("WRONG_TOKEN", "this is no token of this site"));
        };
        let opened = self.sessions.open(holder)?;
        let text = Zeroizing::new(format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie(), *opened));
        let mut value = HeaderValue::from_str(&text).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
        value.set_sensitive(true);
        let mut reply = done();
        reply.headers_mut().insert(hyper::header::SET_COOKIE, value);
        Ok(reply)
    }

    /// The session of a cookie, if its token is not revoked.
    pub(super) async fn session(&self, cookie: &str) -> Result<Session, Refused> {
        let nobody = || Refused::new("NOT_LOGGED_IN", "nobody is logged in");
        let session = self.sessions.find(cookie).ok_or_else(nobody)?;
        if self.still_holds(&session.holder).await? {
            return Ok(session);
        }
        self.sessions.close(cookie);
        Err(nobody())
    }

    /// Is a token not revoked?
    pub(super) async fn still_holds(&self, holder: &Holder) -> Result<bool, NodeError> {
        let (tokens, known) = (self.tokens.clone(), holder.clone());
        blocking(move || Ok(tokens.by_hash(&known.hash)? == Some(known))).await
    }
}

/// The body of a request as JSON of this form.
pub(super) async fn body<T: DeserializeOwned>(asked: Asked) -> Result<T, Refused> {
    let kind = asked.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // A form of another page could not send this.
    if kind.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(Refused::new("NOT_JSON", "a body is JSON"));
    }
    let bytes = Zeroizing::new(read(asked.into_body()).await?);
    // serde's message may quote the body.
    serde_json::from_slice(&bytes).map_err(|_| Refused::new("BAD_REQUEST", "the body is not what this path takes"))
}

async fn read(body: Incoming) -> Result<Vec<u8>, Refused> {
    match timeout(BODY_PATIENCE, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes().to_vec()),
        Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => {
            Err(Refused::new("BODY_TOO_LONG", "a body has at most 256 KiB"))
        }
        _ => Err(Refused::new("BAD_REQUEST", "the body did not come")),
    }
}

fn hashed(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The first language that the reader names; English unless it is Chinese.
fn language(headers: &HeaderMap) -> Language {
    let first = headers.get(ACCEPT_LANGUAGE).map(HeaderValue::as_bytes).unwrap_or_default();
    if first.len() >= 2 && first[..2].eq_ignore_ascii_case(b"zh") { Language::Chinese } else { Language::English }
}

/// `from` and `study` of a query.
fn query(text: &str) -> (u64, Option<String>) {
    let value = |name: &str| text.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
    let from = value("from").and_then(|(_, from)| from.parse().ok()).unwrap_or(0);
    (from, value("study").and_then(|(_, study)| decoded(study)))
}

/// `application/x-www-form-urlencoded`; none for what is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in pairs {
            all.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        all
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let sent = headers(&[("cookie", "xconsilium_1=a; consilium_1=b"), ("cookie", "consilium_2=c")]);
        assert_eq!(cookie(&sent, "consilium_1"), Some("b"));
        assert_eq!(cookie(&sent, "consilium_2"), Some("c"));
        assert_eq!(cookie(&sent, "consilium"), None);
    }

    #[test]
    fn a_query_is_read_as_browsers_write_it() {
        assert_eq!(query("study=a%20b%2Bc+d%E6%82%A3&from=7"), (7, Some("a b+c d患".to_owned())));
        assert_eq!(query("from=-1&study=%ff"), (0, None));
        assert_eq!(query("study=100%"), (0, Some("100%".to_owned())));
        assert_eq!(query(""), (0, None));
    }

    #[test]
    fn the_readers_first_language_counts() {
        let speaks = |text| language(&headers(&[("accept-language", text)]));
        assert_eq!([speaks("zh-CN,en;q=0.5"), speaks("ZH")], [Language::Chinese; 2]);
        assert_eq!([speaks("en,zh"), speaks("z"), language(&headers(&[]))], [Language::English; 3]);
    }
}
