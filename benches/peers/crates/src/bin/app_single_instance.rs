//! app-single-instance: a socket that is probed by a connection.

fn main() {
    let (mode, _, name) = crates::place();
    if app_single_instance::notify_if_running(&name) {
        crates::refused();
    }
    let _primary = app_single_instance::start_primary(&name, || {});
    crates::held(&mode);
}
