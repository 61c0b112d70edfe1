// Our worker and our client with the commands and the report of the real ones in peers/.
//
//   stator_interop_peer worker --codec msgpack [--component interop.backend]
//   stator_interop_peer client --codec msgpack [--plane auto|mux|dynamo]
//   stator_interop_peer model --chat NAME --embeddings NAME --realtime NAME
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "stator/worker/worker.hpp"
#include "tests/interop/peer_client.hpp"
#include "tests/interop/peer_model.hpp"
#include "tests/interop/peer_worker.hpp"

namespace {

using namespace stator;

/// Sets `codec` to the one that the option names.
void add_codec(CLI::App* command, PayloadCodec& codec) {
    const auto set = [&codec](const std::string& name) { codec = *payload_codec_from_name(name); };
    command->add_option_function<std::string>("--codec", set, "Codec of the payloads")
        ->required()
        ->check(CLI::IsMember({"json", "msgpack"}));
}

template <class Options>
int run(Task<> (*work)(Runtime, Options), Options options) {
    return Worker::from_settings().execute([work, options](Runtime runtime) {
        return work(std::move(runtime), options);
    });
}

}  // namespace

int main(int count, char** arguments) {
    CLI::App app{"A worker and a client that report what they see"};
    app.require_subcommand(1);
    interop::WorkerOptions worker;
    auto* serve = app.add_subcommand("worker", "Serves until it is asked to end");
    serve->add_option("--component", worker.component)->default_val("interop.backend");
    add_codec(serve, worker.codec);
    interop::ClientOptions client;
    auto* call = app.add_subcommand("client", "Makes the calls that stdin says");
    add_codec(call, client.call.codec);
    std::string plane = "auto";
    call->add_option("--plane", plane, "Request plane")
        ->check(CLI::IsMember({"auto", "mux", "dynamo"}));
    interop::ModelOptions models;
    auto* model = app.add_subcommand("model", "Serves models behind the OpenAI frontend");
    model->add_option("--chat", models.chat, "Chat and completions")->allow_extra_args(false);
    model->add_option("--embeddings", models.embeddings)->allow_extra_args(false);
    model->add_option("--realtime", models.realtime)->allow_extra_args(false);
    model->add_option("--max-inflight", models.max_inflight);
    model->add_option("--context-length", models.context_length);
    CLI11_PARSE(app, count, arguments);
    if (*model) return run(&interop::run_models, models);
    if (plane == "mux") client.call.plane = stator::Plane::mux;
    if (plane == "dynamo") client.call.plane = stator::Plane::dynamo;
    if (*serve) return run(&interop::run_worker, worker);
    return run(&interop::run_client, client);
}
