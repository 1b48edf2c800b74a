import { describeArch } from '../../test/arch.conformance.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe } from '../../test/generated-models.ts';

describeArch({ name: 'qwen3', model: tinyQwen3() });
describeArch({ name: 'qwen3_moe', model: tinyQwen3Moe() });
describeArch({ name: 'qwen3_5', model: tinyQwen35({ vision: true }) });
describeArch({ name: 'qwen3_5 without a tower', model: tinyQwen35({ vision: false }) });
describeArch({ name: 'qwen3_5 with a predictor', model: tinyQwen35({ vision: true, predictor: true }) });
describeArch({ name: 'qwen3_5_moe', model: tinyQwen35Moe({ vision: true }) });
describeArch({
  name: 'qwen3_5_moe without a tower',
  model: tinyQwen35Moe({ vision: false, experts: 'separate', predictor: true }),
});
