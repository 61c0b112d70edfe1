// The stages that the library brings.
#pragma once

#include "stator/pipeline/buffer.hpp"
#include "stator/pipeline/item_steps.hpp"
#include "stator/pipeline/migrate.hpp"
#include "stator/pipeline/rate_limit.hpp"
#include "stator/pipeline/request_map.hpp"
#include "stator/pipeline/retry.hpp"
#include "stator/pipeline/timeouts.hpp"
