/** The fake device with ggml behind it: a model's failure `assert` is a real failed GGML_ASSERT in its thread. */
import { Context, openLibrary, tensorTypes } from '@cortex/ggml';
import type { OpenDevice } from '../src/model/device-model.ts';
import { FakeHost } from './fake-device-host.ts';

/** Adds tensors that do not fit, past the checks that refuse it. */
const failAssert = (): void => {
  const { native } = openLibrary();
  const context = new Context(native, { nTensorsMax: 8 });
  const three = context.tensor(tensorTypes.f32, [3]);
  const two = context.tensor(tensorTypes.f32, [2]);
  native.ggml_add(context.ptr, three.ptr, two.ptr);
};

export const openDevice: OpenDevice = () => new FakeHost(failAssert);
