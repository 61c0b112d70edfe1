#include "store/etcd/module_loader.hpp"

#include "stator/base/module.hpp"

namespace stator::store::etcd {

Result<Dial> load_module(const std::string& file) {
    // For good: gRPC's threads go on until the process ends.
    const auto module = Module::load({"store.module", "stator_etcd.so", "speaks with etcd"}, file);
    if (!module) return std::unexpected{module.error()};
    const auto dial =
        module->find<ModuleDial>({"stator_etcd_module_version", module_version, "stator_etcd_dial"}
        );
    if (!dial) return std::unexpected{dial.error()};
    return [dial = *dial](const WireOptions& options) {
        return std::unique_ptr<Wire>{dial(&options)};
    };
}

}  // namespace stator::store::etcd
