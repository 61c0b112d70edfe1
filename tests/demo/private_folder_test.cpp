#include "tools/demo/private_folder.hpp"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace stator::demo {
namespace {

TEST(PrivateFolder, is_its_owner_s_alone_and_goes_with_everything_in_it) {
    std::filesystem::path path;
    {
        const PrivateFolder folder;
        const PrivateFolder other;
        path = folder.path();
        EXPECT_NE(path, other.path());
        EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms::owner_all);
        std::filesystem::create_directories(path / "a/b");
        std::ofstream{path / "a/b/c"} << "text";
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace stator::demo
