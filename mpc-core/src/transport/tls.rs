//! TLS 1.3 between pinned keys. No certificates: raw public keys (RFC 7250), so nothing is parsed and nothing expires
//! behind the network file's back. No early data, no resumption.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::inbox::MAX_LANES;
use crate::identity::{Identity, Pin};

/// Protocol name in the handshake; another version is another name, so there is no downgrade.
pub const ALPN: &[u8] = b"consilium/1";

/// In the error of a handshake whose other end owns none of the pinned keys.
pub const NOT_PINNED: &str = "key is not pinned";

/// The keys a party accepts.
pub type Pins = BTreeSet<Pin>;

/// Checks that the other end owns one of the pinned keys.
#[derive(Debug)]
struct PinVerifier {
    pins: Pins,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    fn check(&self, spki: &CertificateDer<'_>) -> Result<(), Error> {
        if self.pins.contains(&Pin::of(spki)) { Ok(()) } else { Err(Error::General(NOT_PINNED.into())) }
    }

    fn signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.provider.signature_verification_algorithms)
    }
}

const TLS12_IS_OFF: Error = Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered);

macro_rules! raw_key_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(TLS12_IS_OFF)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.signature(message, cert, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    raw_key_signatures!();
}

impl ClientCertVerifier for PinVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    raw_key_signatures!();
}

/// The listening side, bound to `at`: any of `pins` may connect.
pub fn server_config(identity: &Identity, pins: Pins, idle: Duration, at: SocketAddr) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinVerifier { pins, provider: provider.clone() });
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.certified())));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.max_early_data_size = 0;
    tls.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(tls).map_err(|e| Error::General(e.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(idle, at)));
    config.migration(false).max_incoming(64);
    Ok(config)
}

/// The dialling side: only `pin` will do.
pub fn client_config(identity: &Identity, pin: Pin, idle: Duration, to: SocketAddr) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinVerifier { pins: Pins::from([pin]), provider: provider.clone() });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity.certified())));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.enable_early_data = false;
    tls.resumption = rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::try_from(tls).map_err(|e| Error::General(e.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(idle, to)));
    Ok(config)
}

/// Unread bytes one stream may make the QUIC layer hold: a stream then carries 12 MiB per round trip.
const STREAM_WINDOW_BYTES: u32 = 12 << 20;
/// Unread bytes one connection may make the QUIC layer hold; the inbox bounds what it was handed.
const CONNECTION_WINDOW_BYTES: u32 = 24 << 20;
/// Datagrams of this size fit loopback; quinn joins ten, and 10 × 6000 stays below the 65,507 bytes of one UDP send.
pub(super) const LOOPBACK_MTU: u16 = 6000;

fn transport_config(idle: Duration, address: SocketAddr) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_LANES as u32))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(idle / 4))
        .max_idle_timeout(IdleTimeout::try_from(idle).ok());
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(LOOPBACK_MTU);
    config.mtu_discovery_config(Some(discovery));
    if address.ip().is_loopback() {
        config.initial_mtu(LOOPBACK_MTU);
    }
    config
}
