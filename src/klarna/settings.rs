//! What the client is told, and the few values that follow from it.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::hosts::{self, AllowedHost};
use crate::link::UseCase;

/// Everything that the client is told (`contract.md`, Settings).
#[derive(Clone, Debug)]
pub struct KlarnaSettings {
    /// `KLARNA_API_URL`: scheme, host, port, and a path prefix where there is one.
    pub base: Url,
    /// `KLARNA_USERNAME`.
    pub username: String,
    /// `KLARNA_PASSWORD`.
    pub password: SecretString,
    /// `KLARNA_LINK_HOSTS`: where a returned URL may lead.
    pub hosts: Vec<AllowedHost>,
    /// `KLARNA_LINK_SOURCE`.
    pub source: LinkSource,
    /// `KLARNA_CREATES_PER_SECOND`: orders (and with each its session) per second; 0 = no limit.
    pub creates_per_second: u32,
    /// How many reads per second the watch over open links may make; 0 = no limit.
    pub reads_per_second: u32,
    /// `MERCHANT_TERMS_URL`.
    pub terms_url: String,
    /// `PAYLINK_PUBLIC_URL`, without a slash at its end.
    pub public_url: String,
    /// `KLARNA_CHANNEL_TELESALES`: the acquiring channel's word, by default `TELESALES`.
    pub telesales: String,
    /// `KLARNA_CHANNEL_IN_STORE`: by default `IN_STORE`.
    pub in_store: String,
    /// Whether orders carry a validation URL: not where the public URL is plain http and not
    /// loopback, see [`KlarnaSettings::can_validate`].
    pub validation_url: bool,
    /// How long a connection may take to stand, TLS included; by default 3 s.
    pub connect_timeout: Duration,
    /// How long a call may take in all; by default 10 s.
    pub timeout: Duration,
}

/// Where the distributed URL is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkSource {
    /// `redirect_url` of the session.
    #[default]
    Redirect,
    /// The text of the picture at `qr_code_url`.
    Qr,
}

impl KlarnaSettings {
    /// Settings with every default, for a Klarna at `base`. A loopback base allows its own host.
    pub fn new(base: Url, username: String, password: SecretString) -> Self {
        let own = hosts::loopback(&base)
            .then(|| AllowedHost::of(&base))
            .flatten();
        Self {
            base,
            username,
            password,
            hosts: own.into_iter().collect(),
            source: LinkSource::Redirect,
            creates_per_second: 0,
            reads_per_second: 0,
            terms_url: String::new(),
            public_url: String::new(),
            telesales: "TELESALES".into(),
            in_store: "IN_STORE".into(),
            validation_url: false,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
        }
    }

    /// Whether Klarna takes a validation URL below `public_url` (`contract.md`, Disable).
    pub fn can_validate(public_url: &Url) -> bool {
        public_url.scheme() == "https" || hosts::loopback(public_url)
    }

    pub(super) fn channel(&self, use_case: UseCase) -> &str {
        match use_case {
            UseCase::Telesales => &self.telesales,
            UseCase::InStore => &self.in_store,
            UseCase::Ecommerce => "ECOMMERCE",
        }
    }

    pub(super) fn at(&self, path: &str, token: &str) -> String {
        format!("{}{path}{token}", self.public_url.trim_end_matches('/'))
    }
}
