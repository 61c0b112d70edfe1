#include "tools/demo/private_folder.hpp"

#include <stdlib.h>
#include <string.h>

#include <cerrno>
#include <string>

#include <fmt/format.h>

#include "stator/base/error.hpp"

namespace stator::demo {

PrivateFolder::PrivateFolder() {
    std::error_code failure;
    const auto parent = std::filesystem::temp_directory_path(failure);
    std::string name = (parent / "stator-demo-XXXXXX").string();
    if (failure || ::mkdtemp(name.data()) == nullptr) {
        throw Error{
            ErrorCode::internal,
            "demo.folder",
            fmt::format("making {}: {}", name, failure ? failure.message() : ::strerror(errno))
        };
    }
    path_ = name;
}

PrivateFolder::~PrivateFolder() {
    std::error_code ignored;  // what cannot be removed stays in the temporary directory
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace stator::demo
