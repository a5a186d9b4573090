//! The API's own description, made from the code, and a page to read it.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::Server;
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::SwaggerUi;

use crate::api::{
    ApiConfig, analytics, calls, campaigns, health, initiate, outbox, people, problems, suppressions, system,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Carillon",
        description = "An outbound AI dialer: a phone list in, interviewed people, profiles and signed webhooks out. \
                       Errors are RFC 9457 problems; each `type` is explained under `/problems`."
    ),
    paths(
        initiate::initiate,
        calls::status,
        calls::cancel,
        calls::list,
        campaigns::list,
        campaigns::one,
        campaigns::create,
        campaigns::change,
        campaigns::start,
        campaigns::pause,
        campaigns::resume,
        campaigns::cancel,
        campaigns::results,
        campaigns::redial,
        campaigns::blockers,
        campaigns::events,
        campaigns::rows::append,
        campaigns::preflight::preflight,
        campaigns::rows::rejections,
        suppressions::list,
        suppressions::add,
        suppressions::remove,
        people::export,
        people::erase,
        outbox::dead,
        outbox::replay,
        outbox::replay_all,
        analytics::analytics,
        system::stats,
        health::health,
        health::livez,
        health::readyz,
        health::metrics,
        problems::list,
        problems::one,
    ),
    modifiers(&ApiKey)
)]
struct Description;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("One of `API_KEYS`. Without keys the server is open and binds loopback alone."))
            .build();
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The API's description.
#[must_use]
pub fn openapi(base_url: &str) -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    description.servers = Some(vec![Server::new(base_url)]);
    description
}

pub(super) fn routes(config: &ApiConfig) -> Router {
    let description = openapi(&config.base_url);
    if config.docs {
        return SwaggerUi::new("/docs").url("/openapi.json", description).into();
    }
    Router::new().route("/openapi.json", get(move || async move { Json(description) }))
}
