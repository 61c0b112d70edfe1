#include "stator/base/resource_limits.hpp"

#include <unistd.h>

#include <fstream>
#include <thread>

#include <gtest/gtest.h>

namespace stator {
namespace {

namespace fs = std::filesystem;

/// A folder with what a process sees of its groups.
class ResourceLimitsTest : public ::testing::Test {
protected:
    ResourceLimitsTest() {
        std::string name = (fs::temp_directory_path() / "stator-groups-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
    }
    ~ResourceLimitsTest() override { fs::remove_all(root_); }
    void file(const std::string& path, const std::string& text) const {
        const auto whole = root_ / path;
        fs::create_directories(whole.parent_path());
        std::ofstream{whole} << text;
    }
    ResourceLimits limits() const { return resource_limits(root_); }

private:
    fs::path root_;
};

TEST_F(ResourceLimitsTest, NothingThereIsNoLimit) { EXPECT_EQ(limits(), ResourceLimits{}); }

TEST_F(ResourceLimitsTest, TheLowestOfTheGroupAndThoseAboveIt) {
    file("proc/self/cgroup", "0::/pod/worker\n");
    file("sys/fs/cgroup/pod/worker/cpu.max", "max 100000\n");
    file("sys/fs/cgroup/pod/worker/memory.max", "536870912\n");
    file("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
    file("sys/fs/cgroup/pod/memory.max", "max\n");
    file("sys/fs/cgroup/cpu.max", "400000 100000\n");
    file("sys/fs/cgroup/memory.max", "1073741824\n");
    EXPECT_EQ(limits(), (ResourceLimits{.cpus = 1.5, .memory = 536870912}));
}

TEST_F(ResourceLimitsTest, AContainerThatSeesItsOwnGroupAsTheTop) {
    file("proc/self/cgroup", "0::/\n");
    file("sys/fs/cgroup/cpu.max", "50000 100000\n");
    file("sys/fs/cgroup/memory.max", "268435456\n");
    EXPECT_EQ(limits(), (ResourceLimits{.cpus = 0.5, .memory = 268435456}));
    // The path of the host, which is not there.
    file("proc/self/cgroup", "0::/kubepods/burstable/pod1\n");
    EXPECT_EQ(limits(), (ResourceLimits{.cpus = 0.5, .memory = 268435456}));
}

TEST_F(ResourceLimitsTest, VersionOneHasAHierarchyForEachController) {
    file("proc/self/cgroup", "9:cpuset:/set\n5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n");
    file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "250000\n");
    file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us", "100000\n");
    file("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "1000000000\n");
    file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    EXPECT_EQ(limits(), (ResourceLimits{.cpus = 2.5, .memory = 1000000000}));
    file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "-1\n");
    EXPECT_EQ(limits(), (ResourceLimits{.cpus = {}, .memory = 1000000000}));
}

TEST_F(ResourceLimitsTest, BothVersionsAtATime) {
    file("proc/self/cgroup", "4:memory:/a\n0::/a\n");
    file("sys/fs/cgroup/unified/a/cpu.max", "300000 100000\n");
    file("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096\n");
    EXPECT_EQ(limits(), (ResourceLimits{.cpus = 3, .memory = 4096}));
}

TEST_F(ResourceLimitsTest, WhatMakesNoSenseIsNoLimit) {
    file("proc/self/cgroup", "\n:\n0:\nnothing\n0::/a\n3:cpu:/\n");
    for (const auto* text :
         {"",
          "max",
          "-5 100000",
          "100000",
          "100000 0",
          "0 100000",
          "many few",
          "99999999999999999999 1"}) {
        file("sys/fs/cgroup/a/cpu.max", text);
        file("sys/fs/cgroup/a/memory.max", "-1");
        file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", text);
        EXPECT_EQ(limits(), ResourceLimits{}) << text;
    }
}

TEST(UsableCores, AreWhatTheQuotaFills) {
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    EXPECT_EQ(usable_cores({}), cores);
    EXPECT_EQ(usable_cores({.cpus = 0.1, .memory = {}}), 1U);
    EXPECT_EQ(usable_cores({.cpus = 1000.0, .memory = {}}), cores);
    EXPECT_EQ(usable_cores({.cpus = 1.5, .memory = {}}), std::min<std::size_t>(2, cores));
}

}  // namespace
}  // namespace stator
