//! What a session may rely on, on every transport: in memory, over a simulated link, over real QUIC.

use std::time::Duration;

use mpc_core::error::{LocalFault, PeerFault};
use mpc_core::step::StepPath;
use mpc_core::transport::Header;
use mpc_core::transport::memory::Link;
use mpc_core::wire::{self, Bytes32, MAX_FRAME_BYTES};
use mpc_core::world::{Net, Outcome, World};
use mpc_core::{Error, PartyId, Result, Session, Z64};
use sha2::{Digest, Sha256};

const P0: PartyId = PartyId(0);
const P1: PartyId = PartyId(1);
const P2: PartyId = PartyId(2);

/// Long enough for a busy machine, short enough to wait for.
const DEADLINE: Duration = Duration::from_millis(1500);

const NETS: [Net; 3] =
    [Net::Memory, Net::Simulated(Link { latency: Duration::from_millis(5), bits_per_second: 0 }), Net::Quic];

/// Runs an async block at every party of worlds of `$sites` sites on every transport; `$check` sees the outcomes.
macro_rules! on_every_transport {
    ($sites:expr, |$s:ident| $program:block, $check:expr) => {
        for net in NETS {
            println!("over {net:?}");
            let program = move |mut session: Session, (): ()| async move {
                let result = async {
                    let $s = &mut session;
                    $program
                };
                let result: Result<_> = result.await;
                (session, result)
            };
            let world = World::new($sites).seed(1).deadline(DEADLINE).over(net);
            $check(world.run(program, vec![(); $sites]));
        }
    };
}

fn all_ok<T: std::fmt::Debug>(outcomes: Vec<Outcome<T>>) {
    outcomes.into_iter().for_each(|o| drop(o.result.unwrap()));
}

fn error<T: std::fmt::Debug>(outcomes: &[Outcome<T>], party: PartyId) -> &Error {
    outcomes[party.index()].result.as_ref().unwrap_err()
}

#[test]
fn frames_of_a_lane_arrive_in_the_order_they_were_sent() {
    on_every_transport!(
        2,
        |s| {
            if s.me() == P0 {
                (0..200).try_for_each(|i| s.send(P1, &[Z64(i)]))?;
            } else {
                for i in 0..200 {
                    assert_eq!(s.recv::<Z64>(P0, 1).await?, [Z64(i)]);
                }
            }
            Ok(())
        },
        all_ok
    );
}

#[test]
fn forks_do_not_wait_for_each_other() {
    // Twenty frames on one lane that nobody reads yet: more than the receiver keeps for it. The other lane still flows.
    const BULK: usize = 20 * MAX_FRAME_BYTES / 8;
    on_every_transport!(
        2,
        |s| {
            let [mut bulk, mut small] = s.fork(["bulk", "small"]);
            if s.me() == P0 {
                bulk.send(P1, &vec![Z64(5); BULK])?;
                small.send(P1, &[Z64(7)])?;
                assert_eq!(small.recv::<Z64>(P1, 1).await?, [Z64(8)]);
            } else {
                assert_eq!(small.recv::<Z64>(P0, 1).await?, [Z64(7)]);
                small.send(P0, &[Z64(8)])?;
                let column = bulk.recv::<Z64>(P0, BULK).await?;
                assert!(column.iter().all(|x| *x == Z64(5)));
            }
            Ok(())
        },
        all_ok
    );
}

#[test]
fn an_empty_column_is_one_frame_and_one_round() {
    on_every_transport!(3, |s| { s.exchange::<Z64>(&[]).await }, |outcomes: Vec<Outcome<_>>| {
        for outcome in outcomes {
            assert_eq!(outcome.result, Ok(vec![vec![]; 3]));
            assert_eq!((outcome.stats.messages(), outcome.stats.bytes()), (2, 2 * Header::BYTES as u64));
            assert_eq!(outcome.stats.rounds, 1);
        }
    });
}

#[test]
fn a_large_column_travels_in_frames_and_arrives_whole() {
    // Two whole frames and one of a single element.
    const LEN: usize = 2 * MAX_FRAME_BYTES / 8 + 1;
    let column = |party: usize| (0..LEN as u64).map(move |i| Z64(i << party)).collect::<Vec<_>>();
    on_every_transport!(
        3,
        |s| {
            let all = s.exchange(&column(s.me().index())).await?;
            assert!(all.iter().enumerate().all(|(party, c)| *c == column(party)));
            Ok(())
        },
        |outcomes: Vec<Outcome<()>>| {
            for outcome in outcomes {
                assert_eq!(outcome.result, Ok(()));
                assert_eq!(outcome.stats.messages(), 6);
                assert_eq!(outcome.stats.bytes(), 2 * (3 * Header::BYTES + LEN * 8) as u64);
            }
        }
    );
}

#[test]
fn another_length_than_stated_is_an_error_that_names_the_sender() {
    on_every_transport!(
        2,
        |s| {
            let mut s = s.step("lengths");
            if s.me() == P0 { s.send(P1, &[Z64(0); 3]) } else { s.recv::<Z64>(P0, 4).await.map(drop) }
        },
        |outcomes: Vec<Outcome<()>>| {
            let step = StepPath::root().child("lengths", 0);
            let fault = PeerFault::Length { sent: 24, expected: 32 };
            assert_eq!(*error(&outcomes, P1), Error::Peer { party: P0, step, fault });
        }
    );
}

#[test]
fn a_silent_party_is_named_after_the_deadline() {
    on_every_transport!(
        2,
        |s| {
            if s.me() == P0 {
                tokio::time::sleep(DEADLINE * 2).await;
                Ok(())
            } else {
                s.step("wait").recv::<Z64>(P0, 1).await.map(drop)
            }
        },
        |outcomes: Vec<Outcome<()>>| {
            let step = StepPath::root().child("wait", 0);
            assert_eq!(*error(&outcomes, P1), Error::Peer { party: P0, step, fault: PeerFault::Silent(DEADLINE) });
            assert!(outcomes[1].elapsed >= DEADLINE && outcomes[1].elapsed < DEADLINE * 2);
        }
    );
}

#[test]
fn an_abort_reaches_every_party_with_its_reason() {
    on_every_transport!(
        4,
        |s| {
            if s.me() == P0 {
                return Err(s.step("load").local(LocalFault::Other("disk full".into())));
            }
            // Nobody waits for the party that stops.
            let waits_for = if s.me() == P1 { P2 } else { P1 };
            s.recv::<Z64>(waits_for, 1).await.map(drop)
        },
        |outcomes: Vec<Outcome<()>>| {
            for outcome in &outcomes[1..] {
                let Err(Error::Stopped { reason, .. }) = &outcome.result else { panic!("{:?}", outcome.result) };
                assert!(reason.contains("disk full") && reason.contains("/load"), "{reason}");
                assert!(outcome.elapsed < DEADLINE, "at once, not after the deadline");
            }
        }
    );
}

#[test]
fn a_checked_broadcast_gives_everybody_the_same() {
    on_every_transport!(3, |s| { s.broadcast_checked(&[Z64(s.me().0.into())]).await }, |outcomes: Vec<Outcome<_>>| {
        let all: Vec<_> = (0..3).map(|p| vec![Z64(p)]).collect();
        assert!(outcomes.iter().all(|o| o.result.as_ref() == Ok(&all)));
    });
}

#[test]
fn a_checked_broadcast_catches_a_party_that_tells_two_stories() {
    // Party 0 sends 1 to party 1 and 2 to party 2, and confirms to each what it told it.
    on_every_transport!(
        3,
        |s| {
            if s.me() != P0 {
                return s.broadcast_checked(&[Z64(9)]).await.map(drop);
            }
            let id = s.id();
            let story = |x: u64| vec![Z64(x)];
            s.send(P1, &story(1))?;
            s.send(P2, &story(2))?;
            for from in [P1, P2] {
                s.recv::<Z64>(from, 1).await?;
            }
            let seen = |x: u64| -> Vec<Bytes32> {
                let hash = |column: Vec<Z64>| {
                    let hash = Sha256::new().chain_update(b"consilium echo v1\0").chain_update(id.0);
                    hash.chain_update(wire::encode(&column)).finalize().into()
                };
                [story(x), story(9), story(9)].map(hash).to_vec()
            };
            let mut echo = s.step("echo");
            echo.send(P1, &seen(1))?;
            echo.send(P2, &seen(2))?;
            // It would be content with whatever the others say.
            for from in [P1, P2] {
                echo.recv::<Bytes32>(from, 3).await?;
            }
            Ok(())
        },
        |outcomes: Vec<Outcome<()>>| {
            let honest = [P1, P2].map(|p| error(&outcomes, p));
            let seen = honest.iter().filter(|e| matches!(e, Error::Peer { fault: PeerFault::Echo { .. }, .. })).count();
            assert!(seen >= 1, "{honest:?}");
            assert!(honest.iter().any(|e| e.blamed().contains(&P0)), "{honest:?}");
        }
    );
}

#[test]
fn every_transport_counts_the_same_messages_bytes_and_rounds() {
    let mut stats = Vec::new();
    on_every_transport!(
        3,
        |s| {
            s.exchange(&[Z64(1); 1000]).await?;
            s.step("again").broadcast_checked(&[Z64(2); 3]).await?;
            let [mut left, mut right] = s.fork(["left", "right"]);
            futures::try_join!(left.exchange(&[3u8; 5]), right.exchange::<u32>(&[]))?;
            Ok(())
        },
        |outcomes: Vec<Outcome<()>>| {
            assert!(outcomes.iter().all(|o| o.result.is_ok()));
            stats.push(outcomes.into_iter().map(|o| o.stats).collect::<Vec<_>>());
        }
    );
    assert_eq!(stats[0], stats[1]);
    assert_eq!(stats[0], stats[2]);
}

#[test]
fn frames_of_a_party_that_has_left_are_still_handed_out() {
    on_every_transport!(
        2,
        |s| {
            if s.me() == P0 {
                (0..50).try_for_each(|i| s.send(P1, &[Z64(i)]))
            } else {
                tokio::time::sleep(DEADLINE / 5).await;
                for i in 0..50 {
                    assert_eq!(s.recv::<Z64>(P0, 1).await?, [Z64(i)]);
                }
                Ok(())
            }
        },
        all_ok
    );
}

mod tls {
    //! Who may connect, and with what.

    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use mpc_core::identity::Identity;
    use mpc_core::transport::quic::{endpoint, peer_pin};
    use mpc_core::transport::tls::{NOT_PINNED, client_config, server_config};
    use quinn::{Connection, ConnectionError, Endpoint};

    const IDLE: Duration = Duration::from_secs(5);

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn identity() -> Identity {
        Identity::generate().unwrap()
    }

    fn dialler() -> Endpoint {
        endpoint(loopback(), None).unwrap()
    }

    /// A listener that accepts `pinned` and reports how each connection went.
    fn listener(server: &Identity, pinned: &Identity) -> (Endpoint, SocketAddr) {
        let config = server_config(server, [pinned.pin()].into(), IDLE, loopback()).unwrap();
        let endpoint = endpoint(loopback(), Some(config)).unwrap();
        let address = endpoint.local_addr().unwrap();
        (endpoint, address)
    }

    async fn accept(endpoint: &Endpoint) -> Result<Connection, ConnectionError> {
        endpoint.accept().await.unwrap().await
    }

    #[tokio::test]
    async fn pinned_keys_connect_and_know_each_other() {
        let (server, client) = (identity(), identity());
        let (listening, address) = listener(&server, &client);
        let config = client_config(&client, server.pin(), IDLE, address).unwrap();
        let dialling = dialler();
        let (accepted, dialled) =
            tokio::join!(accept(&listening), dialling.connect_with(config, address, "site").unwrap());
        assert_eq!(peer_pin(&accepted.unwrap()), Some(client.pin()));
        assert_eq!(peer_pin(&dialled.unwrap()), Some(server.pin()));
    }

    #[tokio::test]
    async fn a_client_whose_key_is_not_pinned_is_refused() {
        let (server, client, stranger) = (identity(), identity(), identity());
        let (listening, address) = listener(&server, &client);
        let config = client_config(&stranger, server.pin(), IDLE, address).unwrap();
        let dialling = dialler();
        let client = async {
            // In TLS 1.3 the client is done first: it may hold a connection for the moment until it hears the refusal.
            match dialling.connect_with(config, address, "site").unwrap().await {
                Ok(connection) => connection.closed().await,
                Err(error) => error,
            }
        };
        let (accepted, refusal) = tokio::join!(accept(&listening), client);
        assert!(accepted.unwrap_err().to_string().contains(NOT_PINNED));
        assert!(matches!(refusal, ConnectionError::ConnectionClosed(_)), "{refusal:?}");
    }

    #[tokio::test]
    async fn a_server_with_another_key_is_refused() {
        let (server, client, expected) = (identity(), identity(), identity());
        let (listening, address) = listener(&server, &client);
        let config = client_config(&client, expected.pin(), IDLE, address).unwrap();
        let dialling = dialler();
        let (accepted, dialled) =
            tokio::join!(accept(&listening), dialling.connect_with(config, address, "site").unwrap());
        assert!(dialled.unwrap_err().to_string().contains(NOT_PINNED));
        assert!(accepted.is_err());
    }

    /// Dials twice and says whether the second connection could send early data.
    async fn sends_early_data(config: quinn::ClientConfig, listening: &Endpoint, address: SocketAddr) -> bool {
        let dialling = dialler();
        let connecting = dialling.connect_with(config.clone(), address, "site").unwrap();
        let (accepted, dialled) = tokio::join!(accept(listening), connecting);
        let (accepted, dialled) = (accepted.unwrap(), dialled.unwrap());
        // A round trip, so that a ticket would have arrived.
        let (mut send, _) = accepted.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        dialled.accept_bi().await.unwrap().1.read_exact(&mut [0]).await.unwrap();
        dialling.connect_with(config, address, "site").unwrap().into_0rtt().is_ok()
    }

    #[tokio::test]
    async fn a_listener_takes_no_early_data() {
        let server = identity();
        let client = identity();
        let (listening, address) = listener(&server, &client);
        let eager = eager::client_config(&client);
        assert!(!sends_early_data(eager, &listening, address).await);
    }

    #[tokio::test]
    async fn a_dialler_sends_no_early_data() {
        let (server, client) = (identity(), identity());
        let listening = endpoint(loopback(), Some(eager::server_config(&server))).unwrap();
        let address = listening.local_addr().unwrap();
        let config = client_config(&client, server.pin(), IDLE, address).unwrap();
        assert!(!sends_early_data(config, &listening, address).await);
    }

    #[tokio::test]
    async fn two_eager_ends_would_send_early_data() {
        // The control of the two tests above: they do not hold for want of trying.
        let (server, client) = (identity(), identity());
        let listening = endpoint(loopback(), Some(eager::server_config(&server))).unwrap();
        let address = listening.local_addr().unwrap();
        assert!(sends_early_data(eager::client_config(&client), &listening, address).await);
    }

    /// Configurations that want early data and check nobody's key, with ALPN and raw keys as ours.
    mod eager {
        use super::*;

        use mpc_core::transport::tls::ALPN;
        use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
        use rustls::client::AlwaysResolvesClientRawPublicKeys;
        use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
        use rustls::crypto::ring::default_provider;
        use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
        use rustls::server::AlwaysResolvesServerRawPublicKeys;
        use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
        use rustls::sign::CertifiedKey;
        use rustls::version::TLS13;
        use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

        fn certified(identity: &Identity) -> Arc<CertifiedKey> {
            let key = PrivatePkcs8KeyDer::from(identity.pkcs8().to_vec());
            let key = rustls::crypto::ring::sign::any_eddsa_type(&key).unwrap();
            let public = CertificateDer::from(key.public_key().unwrap().to_vec());
            Arc::new(CertifiedKey::new(vec![public], key))
        }

        pub fn client_config(identity: &Identity) -> quinn::ClientConfig {
            let mut tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody))
                .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(identity))));
            tls.alpn_protocols = vec![ALPN.to_vec()];
            tls.enable_early_data = true;
            quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
        }

        pub fn server_config(identity: &Identity) -> quinn::ServerConfig {
            let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .with_client_cert_verifier(Arc::new(Anybody))
                .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(identity))));
            tls.alpn_protocols = vec![ALPN.to_vec()];
            tls.max_early_data_size = u32::MAX;
            quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()))
        }

        macro_rules! any_signature {
            () => {
                fn verify_tls12_signature(
                    &self,
                    _message: &[u8],
                    _cert: &CertificateDer<'_>,
                    _signed: &DigitallySignedStruct,
                ) -> Result<HandshakeSignatureValid, Error> {
                    Ok(HandshakeSignatureValid::assertion())
                }

                fn verify_tls13_signature(
                    &self,
                    _message: &[u8],
                    _cert: &CertificateDer<'_>,
                    _signed: &DigitallySignedStruct,
                ) -> Result<HandshakeSignatureValid, Error> {
                    Ok(HandshakeSignatureValid::assertion())
                }

                fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
                    vec![SignatureScheme::ED25519]
                }

                fn requires_raw_public_keys(&self) -> bool {
                    true
                }
            };
        }

        #[derive(Debug)]
        struct Anybody;

        impl ServerCertVerifier for Anybody {
            fn verify_server_cert(
                &self,
                _end_entity: &CertificateDer<'_>,
                _intermediates: &[CertificateDer<'_>],
                _server_name: &ServerName<'_>,
                _ocsp_response: &[u8],
                _now: UnixTime,
            ) -> Result<ServerCertVerified, Error> {
                Ok(ServerCertVerified::assertion())
            }

            any_signature!();
        }

        impl ClientCertVerifier for Anybody {
            fn root_hint_subjects(&self) -> &[DistinguishedName] {
                &[]
            }

            fn verify_client_cert(
                &self,
                _end_entity: &CertificateDer<'_>,
                _intermediates: &[CertificateDer<'_>],
                _now: UnixTime,
            ) -> Result<ClientCertVerified, Error> {
                Ok(ClientCertVerified::assertion())
            }

            any_signature!();
        }
    }
}
