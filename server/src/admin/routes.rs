//! All routes of the admin listener with their scopes, and the OpenAPI document that is made from them.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problems::problem;
use super::{
    access, archive, bans, credits, datasets, events, files, health, identities, runs, settings,
    snapshots, stream, tokens, validate, versions, work, workers,
};
use crate::app::App;
use crate::auth::Scope;
use crate::problem::{Code, ProblemJson};

const BEARER: &str = "bearer";

type Routes = OpenApiRouter<Arc<App>>;

/// Routes for what watches the server.
fn metrics_routes() -> Routes {
    Routes::default()
        .routes(routes!(health::health))
        .routes(routes!(health::metrics))
}

/// Routes that change nothing.
fn read_routes() -> Routes {
    Routes::default()
        .routes(routes!(document))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(files::run_json))
        .routes(routes!(settings::show))
        .routes(routes!(work::show))
        .routes(routes!(files::history))
        .routes(routes!(files::export))
        .routes(routes!(snapshots::list))
        .routes(routes!(snapshots::download))
        .routes(routes!(validate::validate))
        .routes(routes!(archive::list))
        .routes(routes!(versions::versions))
        .routes(routes!(versions::digest))
        .routes(routes!(files::params))
        .routes(routes!(files::manifest))
        .routes(routes!(datasets::list))
        .routes(routes!(datasets::show))
        .routes(routes!(workers::list))
        .routes(routes!(workers::show))
        .routes(routes!(identities::list))
        .routes(routes!(identities::show))
        .routes(routes!(bans::list))
        .routes(routes!(events::list))
        .routes(routes!(stream::follow))
        .routes(routes!(credits::list))
}

/// Routes that change the server's work.
fn operate_routes() -> Routes {
    Routes::default()
        .routes(routes!(runs::create))
        .routes(routes!(runs::start))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::stop))
        .routes(routes!(settings::change))
        .routes(routes!(versions::roll_back))
        .routes(routes!(versions::fork))
        .routes(routes!(archive::archive))
        .routes(routes!(archive::restore))
        .routes(routes!(snapshots::delete))
        .routes(routes!(snapshots::pin, snapshots::unpin))
        .routes(routes!(workers::drain))
        .routes(routes!(bans::ban, bans::unban))
        .routes(routes!(datasets::upload))
        .routes(routes!(datasets::delete))
}

/// Routes that decide who may do what.
fn admin_routes() -> Routes {
    Routes::default()
        .routes(routes!(tokens::list, tokens::issue))
        .routes(routes!(tokens::revoke))
}

fn all_routes() -> (Router<Arc<App>>, OpenApi) {
    let mut openapi = Problems::openapi();
    openapi.info = InfoBuilder::new()
        .title("Tabswarm admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description()))
        .license(Some(LicenseBuilder::new().name("MIT").build()))
        .build();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The data directory's admin token, or one that POST /admin/tokens issued.",
        ))
        .build();
    let components = openapi.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    OpenApiRouter::with_openapi(openapi)
        .merge(scoped(Scope::Metrics, metrics_routes()))
        .merge(scoped(Scope::Read, read_routes()))
        .merge(scoped(Scope::Operate, operate_routes()))
        .merge(scoped(Scope::Admin, admin_routes()))
        .split_for_parts()
}

/// The routes behind the token.
pub(crate) fn router() -> Router<Arc<App>> {
    all_routes().0
}

/// A group of routes, for those whose token is good for it, and said to be so.
fn scoped(scope: Scope, routes: Routes) -> Routes {
    let mut routes = routes.route_layer(from_fn_with_state(scope, access::require));
    for item in routes.get_openapi_mut().paths.paths.values_mut() {
        for operation in operations(item) {
            protect(operation, scope);
        }
    }
    routes
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// What holds for every route with a token.
fn protect(operation: &mut Operation, scope: Scope) {
    operation.security = Some(vec![SecurityRequirement::new(BEARER, [scope.as_str()])]);
    let answers = [
        ("401", "There is no valid token with the request."),
        ("403", "The token's scope does not include this."),
        ("503", "Tokens can't be looked up, or the server goes down."),
    ];
    for (status, text) in answers {
        let all = &mut operation.responses.responses;
        all.entry(status.to_owned())
            .or_insert_with(|| problem(text).into());
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemJson<'_>, Code, Scope)))]
struct Problems;

fn description() -> String {
    let mut text = "For operators, on a listener of its own. Each operation names the scope that its token needs; \
        a scope includes those before it:\n"
        .to_owned();
    for scope in Scope::ALL {
        text.extend(["\n- `", scope.as_str(), "`"]);
    }
    text.push_str(
        "\n\nErrors are `application/problem+json` (RFC 9457) with a `code` that never changes its meaning:\n",
    );
    for (code, meaning) in Code::MEANINGS {
        text.extend(["\n- `", code, "`: ", meaning.trim()]);
    }
    text
}

/// The document as it is served and committed.
pub(crate) fn document_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = all_routes()
            .1
            .to_pretty_json()
            .expect("it has string keys only");
        text.push('\n');
        text
    })
}

/// This document.
#[utoipa::path(
    get, path = "/admin/openapi.json", tag = "server", operation_id = "document",
    responses((status = 200, description = "An OpenAPI document.", content_type = "application/json", body = serde_json::Value))
)]
pub(crate) async fn document() -> impl IntoResponse {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, document_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_the_served_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == document_text(),
            "docs/openapi.json is not what the routes say: write it anew with \
             `cargo run -p tabswarm-server -- openapi > docs/openapi.json`"
        );
    }
}
