// What the templates of one parser use and fill.
#pragma once

#include "hftcore/event_batch.hpp"
#include "hftcore/scan.hpp"

namespace hft {

struct Matcher {
    const ShortSymbols& symbols;
    MinuteCache* minute;
    EventBatch* batch;
};

}  // namespace hft
