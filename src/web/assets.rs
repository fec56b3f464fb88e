//! Style sheets, scripts and pictures, inside the binary. Their address has no version in it, so
//! they are revalidated by a tag made of their bytes.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::headers::has_already;
use super::problem::{Problem, ProblemCode};

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "paylink.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/paylink.css"),
    },
    Asset {
        name: "sprite.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("assets/sprite.svg"),
    },
];

/// In the order of [`ASSETS`].
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |asset: &Asset| {
        // half of it tells any two files apart
        let hash: [u8; 32] = Sha256::digest(asset.bytes).into();
        let (half, _) = hash.split_at(16);
        format!("\"{}\"", URL_SAFE_NO_PAD.encode(half))
    };
    ASSETS.iter().map(tag).collect()
});

/// One of them.
pub async fn asset(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let (asset, tag) = ASSETS
        .iter()
        .zip(TAGS.iter())
        .find(|(asset, _)| asset.name == *name)
        .ok_or(Problem::new(ProblemCode::NotFound))?;
    let mut answer = if has_already(request.headers(), tag) {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer.insert_header((ETAG, tag.as_str())).insert_header((
        CACHE_CONTROL,
        "public, max-age=300, stale-while-revalidate=86400",
    ));
    if has_already(request.headers(), tag) {
        return Ok(answer.finish());
    }
    Ok(answer
        .insert_header((CONTENT_TYPE, asset.kind))
        .body(asset.bytes))
}
