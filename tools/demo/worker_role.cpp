#include "tools/demo/worker_role.hpp"

#include <utility>

#include "stator/component/distributed_runtime.hpp"
#include "stator/worker/worker.hpp"
#include "tools/demo/completion.hpp"

namespace stator::demo {

namespace {

Task<> serve(Runtime runtime, std::shared_ptr<const NgramModel> model, InstanceId id) {
    const auto cluster = co_await DistributedRuntime::connect(std::move(runtime));
    const auto endpoint = cluster.endpoint(completion_path);
    co_await endpoint.serve(Completer{std::move(model)}, {.instance_id = id});
}

}  // namespace

int run_worker(std::shared_ptr<const NgramModel> model, InstanceId id) {
    return Worker::from_settings().execute([model = std::move(model), id](Runtime runtime) {
        return serve(std::move(runtime), model, id);
    });
}

}  // namespace stator::demo
