//! Which request is which operation.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::Response,
    routing::{get, post},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Detachment, Disconnection, NetworkFilter, Removal, ServiceFilter, Version, events,
    failure::Failure,
    metrics,
    request::{Body, Named, Params},
    server::Operations,
};
use crate::{
    controller::{self, Controller, Error},
    model::{
        AttachSpec, ConnectSpec, CounterView, EventFilter, FdbView, HostView, JoinSpec, JoinView,
        KnownView, LeaveSpec, NeighView, NetworkSpec, NetworkView, RetainSpec, RunSpec,
        SandboxSpec, SandboxView, ServiceRef, ServiceSpec, ServiceView, StatusView, StoreProbeView,
        TrafficView,
    },
};

/// An answer, or why there is none.
type Answer<T> = Result<Json<T>, Failure>;
/// The answer where something was made.
type Created<T> = Result<(StatusCode, Json<T>), Failure>;

/// What every route works with.
#[derive(Clone)]
struct Api {
    controller: Arc<Controller>,
    operations: Operations,
    /// Cancelled when answers that have no end by themselves are to end.
    stop: CancellationToken,
}

impl Api {
    /// Has the controller do something to the end, also where the client does not wait for it.
    async fn finish<T, F>(&self, operation: impl FnOnce(Arc<Controller>) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = controller::Result<T>> + Send + 'static,
    {
        self.operations.finish(operation(Arc::clone(&self.controller))).await.map(Json)
    }

    /// The same for what makes something.
    async fn create<T, F>(&self, operation: impl FnOnce(Arc<Controller>) -> F) -> Created<T>
    where
        T: Send + 'static,
        F: Future<Output = controller::Result<T>> + Send + 'static,
    {
        self.finish(operation).await.map(|made| (StatusCode::CREATED, made))
    }
}

/// All routes. Operations are tracked by `operations`; what goes on for ever ends by `stop`.
pub(super) fn router(
    controller: Arc<Controller>,
    operations: TaskTracker,
    stop: CancellationToken,
) -> Router {
    let routes = Router::new()
        .route("/v1/networks", get(networks).post(create_network))
        .route("/v1/networks/{network}", get(network).delete(remove_network))
        .route("/v1/services", get(services).post(publish))
        .route("/v1/services/{service}", get(service).delete(unpublish))
        .route("/v1/services/{service}/attach", post(attach))
        .route("/v1/services/{service}/detach", post(detach))
        .route("/v1/sandboxes", get(sandboxes).post(create_sandbox))
        .route("/v1/sandboxes/{sandbox}", get(sandbox).delete(remove_sandbox))
        .route("/v1/connect", post(connect))
        .route("/v1/disconnect", post(disconnect))
        .route("/v1/run", post(run))
        .route("/v1/containers/join", post(join))
        .route("/v1/containers/leave", post(leave))
        .route("/v1/containers/retain", post(retain))
        .route("/v1/hosts", get(hosts))
        .route("/v1/known", get(known))
        .route("/v1/fdb", get(fdb))
        .route("/v1/neigh", get(neigh))
        .route("/v1/counters", get(counters))
        .route("/v1/traffic", get(traffic))
        .route("/v1/events", get(events))
        .route("/v1/status", get(status))
        .route("/v1/store/probe", post(probe_store))
        .route("/v1/version", get(version))
        .route(metrics::PATH, get(prometheus));
    closed(routes).with_state(Api { controller, operations: Operations(operations), stop })
}

/// The same routes, where all else is refused in the form of all failures.
pub(super) fn closed<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.method_not_allowed_fallback(no_such_method).fallback(no_such_route)
}

async fn networks(
    State(api): State<Api>,
    Params(filter): Params<NetworkFilter>,
) -> Answer<Vec<NetworkView>> {
    api.finish(|controller| async move { controller.networks(filter.all).await }).await
}

async fn create_network(
    State(api): State<Api>,
    Body(spec): Body<NetworkSpec>,
) -> Created<NetworkView> {
    api.create(|controller| async move { controller.create_network(spec).await }).await
}

async fn network(State(api): State<Api>, Named(name): Named) -> Answer<NetworkView> {
    api.finish(|controller| async move { controller.network(&name).await }).await
}

async fn remove_network(State(api): State<Api>, Named(name): Named) -> Answer<NetworkView> {
    api.finish(|controller| async move { controller.remove_network(&name).await }).await
}

async fn services(
    State(api): State<Api>,
    Params(filter): Params<ServiceFilter>,
) -> Answer<Vec<ServiceView>> {
    api.finish(|controller| async move { controller.services(filter.network.as_deref()).await })
        .await
}

async fn publish(State(api): State<Api>, Body(spec): Body<ServiceSpec>) -> Created<ServiceView> {
    api.create(|controller| async move { controller.publish(spec).await }).await
}

async fn service(State(api): State<Api>, Named(name): Named) -> Answer<ServiceView> {
    let service = reference(&name)?;
    api.finish(|controller| async move { controller.service(&service).await }).await
}

async fn unpublish(
    State(api): State<Api>,
    Named(name): Named,
    Params(removal): Params<Removal>,
) -> Answer<ServiceView> {
    let service = reference(&name)?;
    api.finish(|controller| async move { controller.unpublish(&service, removal.force).await })
        .await
}

async fn attach(
    State(api): State<Api>,
    Named(name): Named,
    Body(spec): Body<AttachSpec>,
) -> Answer<ServiceView> {
    let service = reference(&name)?;
    api.finish(|controller| async move { controller.attach(&service, &spec).await }).await
}

async fn detach(
    State(api): State<Api>,
    Named(name): Named,
    Body(Detachment { sandbox }): Body<Detachment>,
) -> Answer<ServiceView> {
    let service = reference(&name)?;
    api.finish(|controller| async move { controller.detach(&sandbox, &service).await }).await
}

async fn sandboxes(State(api): State<Api>) -> Answer<Vec<SandboxView>> {
    api.finish(|controller| async move { Ok(controller.sandboxes()) }).await
}

async fn create_sandbox(
    State(api): State<Api>,
    Body(spec): Body<SandboxSpec>,
) -> Created<SandboxView> {
    api.create(|controller| async move { controller.create_sandbox(spec).await }).await
}

async fn sandbox(State(api): State<Api>, Named(name): Named) -> Answer<SandboxView> {
    api.finish(|controller| async move { controller.sandbox(&name) }).await
}

async fn remove_sandbox(State(api): State<Api>, Named(name): Named) -> Answer<SandboxView> {
    api.finish(|controller| async move { controller.remove_sandbox(&name).await }).await
}

async fn connect(State(api): State<Api>, Body(spec): Body<ConnectSpec>) -> Created<ServiceView> {
    api.create(|controller| async move { controller.connect(spec).await }).await
}

async fn disconnect(
    State(api): State<Api>,
    Body(Disconnection { sandbox, network }): Body<Disconnection>,
) -> Answer<Vec<ServiceView>> {
    api.finish(|controller| async move { controller.disconnect(&sandbox, &network).await }).await
}

async fn run(State(api): State<Api>, Body(spec): Body<RunSpec>) -> Created<SandboxView> {
    api.create(|controller| async move { controller.run(spec).await }).await
}

async fn join(State(api): State<Api>, Body(spec): Body<JoinSpec>) -> Created<JoinView> {
    api.create(|controller| async move { controller.join(spec).await }).await
}

async fn leave(State(api): State<Api>, Body(spec): Body<LeaveSpec>) -> Answer<()> {
    api.finish(|controller| async move { controller.leave(&spec).await }).await
}

async fn retain(State(api): State<Api>, Body(spec): Body<RetainSpec>) -> Answer<()> {
    api.finish(|controller| async move { controller.retain(&spec).await }).await
}

async fn hosts(State(api): State<Api>) -> Answer<Vec<HostView>> {
    api.finish(|controller| async move { controller.hosts().await }).await
}

async fn known(State(api): State<Api>) -> Answer<KnownView> {
    api.finish(|controller| async move { Ok(controller.known()) }).await
}

async fn fdb(State(api): State<Api>) -> Answer<Vec<FdbView>> {
    api.finish(|controller| async move { controller.fdb().await }).await
}

async fn neigh(State(api): State<Api>) -> Answer<Vec<NeighView>> {
    api.finish(|controller| async move { controller.neigh().await }).await
}

async fn counters(State(api): State<Api>) -> Answer<Vec<CounterView>> {
    api.finish(|controller| async move { controller.counters().await }).await
}

async fn traffic(State(api): State<Api>) -> Answer<Vec<TrafficView>> {
    api.finish(|controller| async move { Ok(controller.activity().await?.endpoints) }).await
}

async fn events(
    State(api): State<Api>,
    Params(filter): Params<EventFilter>,
) -> Result<Response, Failure> {
    events::answer(&api.controller, filter, api.stop).await
}

async fn prometheus(State(api): State<Api>) -> Response {
    metrics::answer(&api.controller).await
}

async fn status(State(api): State<Api>) -> Answer<StatusView> {
    api.finish(|controller| async move { Ok(controller.status().await) }).await
}

async fn probe_store(State(api): State<Api>) -> Answer<StoreProbeView> {
    api.finish(|controller| async move { Ok(controller.probe_store().await) }).await
}

async fn version() -> Json<Version> {
    Json(Version::of_this_build())
}

async fn no_such_route(method: Method, uri: Uri) -> Failure {
    Error::not_found(format!("there is no {method} {}; routes begin with /v1", uri.path())).into()
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Failure {
    let why = format!("{} cannot be asked with {method}", uri.path());
    Failure::from(Error::unusable(why)).with_status(StatusCode::METHOD_NOT_ALLOWED)
}

fn reference(text: &str) -> Result<ServiceRef, Failure> {
    text.parse().map_err(|error: crate::model::ServiceRefError| {
        Failure::from(Error::unusable(error.to_string()))
    })
}
