//! A PostgreSQL of the tests' own, in a folder that vanishes, reached over its Unix socket.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use tokio_postgres::{Client, NoTls};

use super::Scratch;

/// The role that nodes connect as, and what it may be let in with.
pub const READER: &str = "reader";
pub const PASSWORD: &str = "Quaxolotl's \"word\"";

/// A running server, ended when dropped.
pub struct Server {
    folder: Scratch,
    process: Child,
    owner: Option<(u32, u32)>,
    /// Where it listens, if it does.
    pub port: u16,
}

impl Server {
    /// Starts one. None, with words, where there is no PostgreSQL; with CI=true that is a failure.
    pub fn start() -> Option<Self> {
        Self::launch(None)
    }

    /// The same, but it listens on a loopback port and speaks TLS with this certificate and key.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Option<Self> {
        Self::launch(Some((certificate, key)))
    }

    fn launch(tls: Option<(&Path, &Path)>) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI without PostgreSQL");
            println!("SKIPPED: there is no PostgreSQL (initdb) on this machine");
            return None;
        };
        let folder = Scratch::new("pg");
        let password = folder.write("password", "owner");
        // PostgreSQL does not run as root.
        let owner = unprivileged();
        let own = |path: &Path| {
            if let Some((user, group)) = owner {
                std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
            }
        };
        own(folder.path());
        own(&password);
        let data = folder.at("data");
        let mut init = as_owner(&programs.join("initdb"), owner);
        init.args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username=owner", "--auth=scram-sha-256"]);
        init.arg(format!("--pwfile={}", password.display())).arg("-D").arg(&data).current_dir(folder.path());
        let made = init.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut serve = as_owner(&programs.join("postgres"), owner);
        serve.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        serve.args(["-c", "full_page_writes=off", "-c", "synchronous_commit=off"]).current_dir(folder.path());
        let port = if tls.is_some() { super::ports::<1>()[0] } else { 5432 };
        serve.args(["-p", &port.to_string()]);
        if let Some((certificate, key)) = tls {
            for (file, name) in [(certificate, "server.crt"), (key, "server.key")] {
                let copy = folder.write(name, fs::read(file).unwrap());
                private(&copy);
                own(&copy);
                serve.args([
                    "-c",
                    &format!("ssl_{}_file={}", if name == "server.crt" { "cert" } else { "key" }, copy.display()),
                ]);
            }
            serve.args(["-c", "ssl=on", "-c", "listen_addresses=127.0.0.1"]);
        }
        let process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { folder, process, owner, port };
        server.wait();
        server.run("postgres", &format!("CREATE ROLE {READER} LOGIN PASSWORD '{}'", PASSWORD.replace('\'', "''")));
        Some(server)
    }

    /// The folder of its socket.
    pub fn host(&self) -> &Path {
        self.folder.path()
    }

    fn wait(&self) {
        let began = Instant::now();
        while runtime().block_on(self.connect("postgres")).is_err() {
            assert!(began.elapsed() < super::LIMIT, "PostgreSQL does not come up");
            thread::sleep(Duration::from_millis(50));
        }
    }

    async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.host()).port(self.port).user("owner").password("owner").dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements as the owner.
    pub fn run(&self, database: &str, sql: &str) {
        let done = async { self.connect(database).await.unwrap().batch_execute(sql).await };
        runtime().block_on(done).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The only text that a statement of the owner's has.
    pub fn ask(&self, database: &str, sql: &str) -> String {
        let done = async { self.connect(database).await.unwrap().query_one(sql, &[]).await };
        runtime().block_on(done).unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
    }

    /// Holds a table, so that whoever reads it waits until this is dropped.
    pub fn lock(&self, database: &str, table: &str) -> Locked {
        let runtime = runtime();
        let client = runtime.block_on(async {
            let client = self.connect(database).await.unwrap();
            client.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
            client
        });
        Locked { _client: client, _runtime: runtime }
    }

    /// A new database whose tables the reader may read.
    pub fn create(&self, database: &str) {
        self.run("postgres", &format!("CREATE DATABASE \"{database}\""));
        self.run(database, &format!("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {READER}"));
    }

    /// Makes a table of these rows.
    pub fn load(&self, database: &str, table: &str, batches: &[RecordBatch]) {
        let fields = batches[0].schema();
        let columns = fields.fields().iter().map(|f| format!("\"{}\" {}", f.name(), sql_type(f.data_type())));
        self.run(database, &format!("CREATE TABLE \"{table}\" ({})", columns.collect::<Vec<_>>().join(", ")));
        let copied = async {
            let client = self.connect(database).await.unwrap();
            let sink = client.copy_in(&format!("COPY \"{table}\" FROM STDIN")).await.unwrap();
            let mut sink = std::pin::pin!(sink);
            for batch in batches {
                use futures::SinkExt;
                sink.send(bytes::Bytes::from(text_rows(batch))).await.unwrap();
            }
            sink.finish().await.unwrap();
        };
        runtime().block_on(copied);
    }

    /// What a sandbox's site is told of it.
    pub fn settings(&self, folder: &Scratch, site: &str, database: &str, more: &str) {
        let password = folder.write(&format!("{site}/password"), PASSWORD);
        private(&password);
        let text = format!(
            "host = \"{}\"\ndbname = \"{database}\"\nuser = \"{READER}\"\npassword_file = \"password\"\ntls = \"off\"\n{more}",
            self.host().display()
        );
        folder.write(&format!("{site}/postgres.toml"), text);
    }
}

/// A table that is held: the transaction ends with the connection.
pub struct Locked {
    _client: Client,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once, by the server's own means.
        if let Some(programs) = programs() {
            let mut stop = as_owner(&programs.join("pg_ctl"), self.owner);
            let stop = stop.arg("-D").arg(self.folder.at("data")).args(["stop", "-m", "immediate"]);
            let _ = stop.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A key and a certificate for `localhost` that vouches for itself; none, with words, without openssl.
pub fn certificate(folder: &Scratch, name: &str) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.at(&format!("{name}.crt")), folder.at(&format!("{name}.key")));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]);
    make.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = make.arg("-keyout").arg(&key).arg("-out").arg(&certificate).stderr(Stdio::null()).status();
    if made.is_ok_and(|status| status.success()) {
        return Some((certificate, key));
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI without openssl");
    println!("SKIPPED: there is no openssl on this machine");
    None
}

/// Only its owner may read it.
pub fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The folder of the newest PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let programs = entry.path().join("bin");
        if programs.join("initdb").exists() {
            found.push((entry.file_name().to_string_lossy().parse().unwrap_or(0), programs));
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    found.into_iter().max().map(|(_, programs)| programs).or_else(on_path)
}

/// Somebody else than root to run the server as, where we are root.
fn unprivileged() -> Option<(u32, u32)> {
    let user = |name: &str, option: &str| {
        let said = Command::new("id").args([option, name]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim().parse::<u32>().ok()
    };
    let me: u32 =
        String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim().parse().unwrap();
    if me != 0 {
        return None;
    }
    ["postgres", "nobody"].into_iter().find_map(|name| user(name, "-u").zip(user(name, "-g")))
}

fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "bigint".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision},{scale})"),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Boolean => "boolean".into(),
        _ => "text".into(),
    }
}

/// PostgreSQL's own text form of COPY.
fn text_rows(batch: &RecordBatch) -> String {
    let columns: Vec<_> = batch.columns().iter().map(|column| cast(column, &DataType::Utf8).unwrap()).collect();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                text.push('\t');
            }
            match column.is_null(row) {
                true => text.push_str("\\N"),
                false => {
                    let value = column.as_string::<i32>().value(row);
                    text += &value.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
                }
            }
        }
        text.push('\n');
    }
    text
}
