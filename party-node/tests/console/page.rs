//! A browser's part of the console: requests, replies and a stream of events.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;
use super::common::contract::Contract;

/// A browser's part: headers that every request carries.
#[derive(Clone)]
pub struct Page {
    address: SocketAddr,
    pub headers: BTreeMap<String, String>,
}

pub struct Got {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of a refusal, if it is one.
    pub fn refused_code(&self) -> String {
        if self.status == 200 { String::new() } else { self.refused().1 }
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and code of a refusal, which is one of the contract's.
    pub fn refused(&self) -> (u16, String) {
        let refusal: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()));
        Contract::read().holds(&refusal, "Refusal");
        (self.status, refusal["code"].as_str().unwrap().to_owned())
    }
}

impl Page {
    pub fn at(address: SocketAddr) -> Self {
        let mut page = Self { address, headers: BTreeMap::new() };
        page.set("host", &address.to_string());
        page.set("content-type", "application/json");
        page
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.insert(name.to_owned(), value.to_owned());
    }

    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut page = self.clone();
        page.set(name, value);
        page
    }

    pub fn without(&self, name: &str) -> Self {
        let mut page = self.clone();
        page.headers.remove(name);
        page
    }

    pub async fn get(&self, path: &str) -> Got {
        self.ask("GET", path, Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Got {
        self.ask("POST", path, body.to_string().into_bytes()).await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> Got {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        self.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let (address, bytes) = (self.address, [(head + "\r\n").into_bytes(), body].concat());
        let talk = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // Who refuses a long body does not read all of it.
            let _ = stream.write_all(&bytes);
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            reply
        };
        received(&tokio::task::spawn_blocking(talk).await.unwrap())
    }

    /// Asks until the reply is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let found = self.get(path).await.json();
            if wanted(&found) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{path} never comes to this: {found:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn plan(&self, sql: &str) -> Got {
        self.post("/api/plan", json!({ "sql": sql, "study": "s", "audience": "analyst", "now_ms": null })).await
    }

    /// Plans and submits.
    pub async fn submit(&self, sql: &str) -> Value {
        let plan = self.plan(sql).await.json();
        let (digest, now_ms) = (&plan["digest"], Value::Null);
        let submission = json!({ "sql": sql, "study": "s", "audience": "analyst", "now_ms": now_ms, "plan": digest });
        self.post("/api/jobs", submission).await.json()
    }
}

fn received(reply: &[u8]) -> Got {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no reply"));
    let head = String::from_utf8_lossy(&reply[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<String, String> = lines.filter_map(pair).collect();
    let mut body = reply[end + 4..].to_vec();
    if headers.get("transfer-encoding").is_some_and(|how| how == "chunked") {
        body = unchunked(&body);
    }
    Got { status, headers, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
    whole
}

/// A stream of events, read in a thread.
pub struct Stream {
    read: std::sync::mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Stream {
    pub fn open(page: &Page) -> Self {
        let mut head = "GET /api/events HTTP/1.1\r\n".to_owned();
        page.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let mut stream = TcpStream::connect(page.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        let (sender, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() || bytes[..count].ends_with(b"0\r\n\r\n") {
                    break;
                }
            }
        });
        Self { read, text: String::new() }
    }

    /// The first event of this name that is as wanted.
    pub async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let prefix = format!("event: {name}\ndata: ");
            let events = self.text.split("\n\n").filter_map(|event| event.split_once(&prefix));
            // An event may have come in part only.
            let found = events.filter_map(|(_, data)| serde_json::from_str(data).ok()).find(|data| wanted(data));
            if let Some(found) = found {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "no such {name}: {}", self.text);
            self.take();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn take(&mut self) {
        while let Ok(bytes) = self.read.try_recv() {
            self.text += &String::from_utf8_lossy(&bytes);
        }
    }

    pub fn so_far(mut self) -> String {
        self.take();
        self.text
    }

    /// Everything, once the stream has ended.
    pub async fn ended(mut self) -> String {
        let began = Instant::now();
        loop {
            match self.read.try_recv() {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return self.text,
                Err(std::sync::mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {}", self.text);
        }
    }
}
