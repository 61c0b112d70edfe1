#include "events/zmq_loader.hpp"

#include "stator/base/module.hpp"

namespace stator::events {

Result<MakeZmq> load_zmq(const std::string& file) {
    const auto module = Module::load({"events.module", "stator_zmq.so", "speaks ZeroMQ"}, file);
    if (!module) return std::unexpected{module.error()};
    const auto make = module->find<ZmqModuleMake>(
        {"stator_zmq_module_version", zmq_module_version, "stator_zmq_make"}
    );
    if (!make) return std::unexpected{make.error()};
    return [make = *make](const ZmqLimits& limits) {
        return std::unique_ptr<ZmqContext>{make(&limits)};
    };
}

}  // namespace stator::events
