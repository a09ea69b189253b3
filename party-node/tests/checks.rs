//! What `consilium check` names before a node is started, and of nodes that run: ports, certificates, clocks, lists, small cells.

#![cfg(unix)]

mod common;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Instant;

use common::wire::program;
use common::{Background, LIMIT, Run, Scratch, consilium, run};

const SITES: [&str; 3] = ["st_mary", "charite", "huaxi"];

/// Three sites that are enrolled and not started.
struct Net(Scratch);

impl Net {
    /// `more` arguments of `init` for each site.
    fn new(label: &str, more: [&[&str]; 3]) -> Self {
        let net = Self(Scratch::new(label));
        for (site, more) in SITES.iter().zip(more) {
            net.0.write(&format!("data/{site}/drug.csv"), "person_id,dose\n1,5\n2,7\n2,8\n");
            let (dir, data, listen) =
                (net.path(site), net.path(&format!("data/{site}")), format!("127.0.0.1:{}", udp()));
            let init = ["init", "--dir", &dir, "--name", site, "--data", &data, "--listen", &listen];
            net.succeed(&[&init, more].concat());
        }
        let publics = SITES.map(|site| net.path(&format!("{site}/{site}.public.toml")));
        let out = net.path("network.toml");
        net.succeed(
            &["enroll", "--out", &out].into_iter().chain(publics.iter().map(String::as_str)).collect::<Vec<_>>(),
        );
        for site in SITES {
            fs::copy(&out, net.0.at(&format!("{site}/network.toml"))).unwrap();
        }
        net
    }

    fn path(&self, relative: &str) -> String {
        self.0.at(relative).to_string_lossy().into_owned()
    }

    fn succeed(&self, arguments: &[&str]) -> Run {
        let ended = run(&mut consilium(arguments));
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
        ended
    }

    fn config(&self, site: &str) -> String {
        self.path(&format!("{site}/node.toml"))
    }

    /// Changes a site's configuration.
    fn change(&self, site: &str, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.config(site)).unwrap();
        fs::write(self.config(site), change(text)).unwrap();
    }

    /// What `check` prints at a site.
    fn check(&self, site: &str) -> String {
        run(&mut consilium(&["check", "--config", &self.config(site)])).stdout
    }

    fn node(&self, site: &str, more: &[&str]) -> Background {
        Background::start(consilium(&["node", "--config", &self.config(site)]).args(more))
    }
}

fn udp() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn bad(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| line.contains("BAD ")).collect()
}

#[test]
fn a_node_whose_clock_is_wrong_is_named_and_one_whose_clock_is_right_is_not() {
    let net = Net::new("clock", [&[], &[], &[]]);
    let _nodes = [net.node("charite", &["--drill", "ahead-3600"]), net.node("huaxi", &[])];
    let began = Instant::now();
    let printed = loop {
        let printed = net.check("st_mary");
        if printed.matches("the same network file").count() == 2 {
            break printed;
        }
        assert!(began.elapsed() < LIMIT, "they do not answer: {printed}");
    };
    let bad = bad(&printed);
    assert!(bad.len() == 1 && bad[0].contains("site charite: the same time: CLOCK_DIFFERS"), "{printed}");
    assert!(bad[0].contains(" UTC there and "), "{printed}");
}

#[test]
fn a_site_that_only_dials_is_not_looked_at_by_a_node_with_a_database_either() {
    let net = Net::new("database", [&[], &["--only-dials"], &[]]);
    let of_database = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("data = "));
        lines.map(|line| format!("{line}\n")).collect::<String>()
            + "[postgres]\nhost = '/nowhere'\ndbname = 'none'\nuser = 'none'\ntls = 'off'\n"
    };
    net.change("huaxi", of_database);
    let printed = net.check("huaxi");
    assert!(printed.contains("site charite is not looked at: it dials this one"), "{printed}");
    assert!(!printed.contains("site charite answers"), "{printed}");
}

#[test]
fn each_door_of_a_node_that_another_program_has_is_named() {
    let net = Net::new("doors", [&[], &[], &[]]);
    let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [metrics, wire, console] = taken.each_ref().map(|listener| listener.local_addr().unwrap());
    let text = format!("metrics = '{metrics}'\n[wire]\nlisten = '{wire}'\n[console]\nlisten = '{console}'\n");
    net.change("huaxi", |config| config + &text);
    let printed = net.check("huaxi");
    for (name, address) in [("metrics", metrics), ("[wire]", wire), ("[console]", console)] {
        let line = format!("BAD  port {address} of {name} is free: PORT_IN_USE");
        assert!(printed.contains(&line), "{line:?} is not in {printed}");
    }
    drop(taken);
    assert_eq!(net.check("huaxi").matches("PORT_IN_USE").count(), 0);
}

#[test]
fn an_expired_certificate_of_database_programs_is_named_and_the_end_of_another_is_said() {
    if !program("openssl", "version") {
        return;
    }
    let net = Net::new("certificate", [&[], &[], &[]]);
    let made = |days: &str| {
        let (key, request, certificate) = (net.path("huaxi/tls.key"), net.path("tls.csr"), net.path("huaxi/tls.crt"));
        let curve = "ec_paramgen_curve:prime256v1";
        let ask = ["req", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-subj", "/CN=localhost", "-keyout", &key];
        let sign = ["x509", "-req", "-in", &request, "-signkey", &key, "-days", days, "-out", &certificate];
        for arguments in [&[&ask[..], &["-out", &request]].concat()[..], &sign] {
            let ended = Command::new("openssl").args(arguments).output().unwrap();
            assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        }
    };
    made("30");
    let text = "[wire]\nlisten = '127.0.0.1:0'\ncertificate = 'tls.crt'\nkey = 'tls.key'\n";
    net.change("huaxi", |config| config + text);
    let printed = net.check("huaxi");
    assert!(printed.contains("ok   the certificate holds now\n       until 2"), "{printed}");
    made("-1");
    let printed = net.check("huaxi");
    assert!(printed.contains("BAD  the certificate holds now: CERTIFICATE_EXPIRED"), "{printed}");
}

#[test]
fn what_an_opt_out_list_takes_away_is_counted() {
    let folder = Scratch::new("list");
    folder.write("out.csv", "person_id\n2\n9\n");
    let list = folder.at("out.csv");
    let policy = folder.write("policy.toml", format!("[opt_out]\nfile = {:?}\n", list.to_string_lossy()));
    let policy = policy.to_string_lossy().into_owned();
    let net = Net::new("opt-out", [&["--policy", &policy], &[], &[]]);
    let printed = net.check("st_mary");
    let line = "ok   opt-out list\n       1 patients with 2 rows are left out; 1 entries have no rows here\n";
    assert!(printed.contains(line), "{printed}");
    assert!(!net.check("huaxi").contains("opt-out"));
}

#[test]
fn a_new_site_shows_no_small_cell_and_a_network_that_shows_them_is_named() {
    let net = Net::new("least", [&[], &[], &[]]);
    assert!(fs::read_to_string(net.0.at("huaxi/policy.toml")).unwrap().contains("\nmin_patients = 11\n"));
    assert!(!net.check("huaxi").contains("SHOWS_SMALL_CELLS"));
    let folder = Scratch::new("least-policy");
    let policy = folder.write("policy.toml", "classes = ['count']\nmin_patients = 5\n").to_string_lossy().into_owned();
    let own: &[&str] = &["--policy", &policy];
    let net = Net::new("less", [own; 3]);
    let printed = net.check("huaxi");
    let line = "note SHOWS_SMALL_CELLS: figures of 5 and more patients are shown";
    assert!(printed.contains(line), "{printed}");
}
