#include "nats/module_loader.hpp"

#include <utility>

#include "stator/base/module.hpp"

namespace stator::nats {

Result<Make> load_module(const std::string& file) {
    // For good: threads of nats.c may go on until the process ends.
    const auto module = Module::load({"nats.module", "stator_nats.so", "speaks with NATS"}, file);
    if (!module) return std::unexpected{module.error()};
    const auto make =
        module->find<ModuleMake>({"stator_nats_module_version", module_version, "stator_nats_make"}
        );
    if (!make) return std::unexpected{make.error()};
    return [make = *make](const WireOptions& options, std::shared_ptr<WireEvents> events) {
        return std::unique_ptr<Wire>{make(&options, &events)};
    };
}

}  // namespace stator::nats
